"""Samples as mu-law classes, alone or with the residual from the class.

The classes are levels spread evenly over [-1, 1] in companded space, the middle one being silence, so their number is
odd. After van den Oord et al. 2016, "WaveNet", where they are 256 and there is no middle.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fxemu.engine.activations import activate
from fxemu.engine.plan import Activation, Plan, Product, Term
from fxemu.errors import check_choice, check_range
from fxemu.representations.base import Representation
from fxemu.representations.mulaw import companding, levels

DECODINGS = ("expected", "argmax")


class OneHot(Representation):
    """The nearest mu-law class: a row of a learned table going in, a probability a class coming out.

    The row is looked up: no one-hot vector is ever multiplied. The output is decoded in companded space: as the
    expected value, which is differentiable and not bound to the classes; or as the most probable class, which passes
    no gradient on: train it with `loss=likelihood`.

    Args:
        classes: odd, 65 to 1025.
        mu: companding strength, 1 to 65535.
        embedding: numbers in a row of the table, the feature channels, 1 to 64.
        decoding: expected or argmax.
        temperature: the logits are divided by it, 0.05 to 20.
    """

    nearest = True
    extra = 0

    def __init__(
        self,
        classes: int = 65,
        mu: float = 255.0,
        embedding: int = 2,
        decoding: str = "expected",
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        _check(classes, embedding, decoding, temperature)
        self.compress, self.expand = companding(mu)
        self.channels, self.params, self.classes = embedding, classes + self.extra, classes
        self.decoding, self.temperature = decoding, temperature
        self.table = nn.Parameter(_first_table(classes, mu, embedding))
        # What a unit of the normalised parameters adds to the companded sample.
        self.register_buffer("weights", self._decoder()[None, :, None], persistent=False)

    def _decoder(self) -> Tensor:
        return levels(self.classes)

    @property
    def class_activation(self) -> Activation:
        return Activation("argmax" if self.decoding == "argmax" else "softmax", float(self.extra))

    def native_loss(self, params: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy, in nats a sample."""
        return F.cross_entropy(params[:, : self.classes] / self.temperature, self._nearest(target))

    def _nearest(self, samples: Tensor) -> Tensor:
        """The class of each sample (B, T)."""
        return (self._position(samples)).round().long()

    def _position(self, samples: Tensor) -> Tensor:
        """Samples (B, 1, T) on the scale of the classes, from 0 to classes - 1: (B, T)."""
        return (activate(samples[:, 0], self.compress).clamp(-1, 1) + 1) * ((self.classes - 1) / 2)

    def plan_encode(self, plan: Plan, samples: int) -> int:
        return plan.lookup(plan.mix(Product((samples,)), activation=self.compress), self.table, self.nearest)

    def plan_decode(self, plan: Plan, params: int) -> int:
        probabilities = plan.mix(Product((params,), 1 / self.temperature), activation=self.class_activation)
        return plan.add(Term(probabilities, self.weights), activation=self.expand)


class OneHotResidual(OneHot):
    """A class and a continuous offset within its cell, so that the number of classes does not bound the precision.

    Going in, the rows of the two nearest classes are interpolated; coming out, one more parameter p moves the sample
    by tanh(p) cells. Arguments as for `OneHot`.
    """

    nearest = False
    extra = 1

    def _decoder(self) -> Tensor:
        return torch.cat((levels(self.classes), torch.tensor([2 / (self.classes - 1)])))

    def native_loss(self, params: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy, plus the squared error of the offset from the true class, in cells."""
        offset = self._position(target) - self._nearest(target)
        moved = torch.tanh(params[:, -1] / self.temperature)
        return super().native_loss(params, target) + (moved - offset).square().mean()


def _first_table(classes: int, mu: float, embedding: int) -> Tensor:
    """Rows to start from: the sample itself, and companded and bent copies of it, so that neighbours are alike."""
    level = levels(classes)
    bends = [activate(level, companding(mu)[1]), level, level.abs(), torch.cos(torch.pi * level)]
    smooth = [torch.cos(torch.pi * (k / 2) * (level + 1)) for k in range(3, 3 + embedding)]
    return torch.stack([*bends, *smooth][:embedding], dim=1)


def _check(classes: int, embedding: int, decoding: str, temperature: float) -> None:
    if not 65 <= classes <= 1025 or classes % 2 == 0:
        raise ValueError(f"classes: got {classes}; must be odd, from 65 to 1025")
    check_range("embedding", embedding, 1, 64)
    check_choice("decoding", decoding, DECODINGS)
    check_range("temperature", temperature, 0.05, 20)
