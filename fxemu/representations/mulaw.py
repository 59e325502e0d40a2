"""Mu-law companded samples: continuous, not quantised."""

from __future__ import annotations

import torch
from torch import Tensor

from fxemu.engine.activations import activate
from fxemu.engine.plan import Activation, Plan, Product, Term
from fxemu.errors import check_range
from fxemu.representations.base import Representation


class MuLaw(Representation):
    """One float a sample, near-logarithmic in amplitude, so that quiet samples are as wide as loud ones.

    Args:
        mu: companding strength, from 1 (mild) to 65535; 255 is the telephone standard (ITU-T G.711).
        plain: whether each sample enters as it is, too, in a second channel: what filters need not be learned through
            a logarithm.
        correction: whether a second parameter is added to the sample that leaves, uncompanded: expanding turns the
            errors of one alone into noise over the whole band, as strong as the sample of the moment.
    """

    embedding_units = 4

    companded: Tensor
    as_it_is: Tensor
    first: Tensor
    second: Tensor

    def __init__(self, mu: float = 255.0, plain: bool = True, correction: bool = True) -> None:
        super().__init__()
        self.compress, self.expand = companding(mu)
        self.channels, self.params, self.adds = 1 + plain, 1 + correction, correction
        # Of the companded and of the plain sample in each channel: (channels, 1, 1).
        companded, as_it_is = torch.eye(2)[:, : self.channels]
        self.register_buffer("companded", companded[:, None, None], persistent=False)
        self.register_buffer("as_it_is", as_it_is[:, None, None], persistent=False)
        # Of the two parameters, one at a time: (1, 2, 1).
        first, second = torch.eye(2)[:, None, :, None]
        self.register_buffer("first", first, persistent=False)
        self.register_buffer("second", second, persistent=False)

    def native_loss(self, params: Tensor, target: Tensor) -> Tensor:
        """Mean squared error in companded space: a Gaussian of fixed width there."""
        companded = params if self.params == 1 else activate(self.decode(params), self.compress)
        return (companded - activate(target, self.compress)).square().mean()

    def plan_encode(self, plan: Plan, samples: int) -> int:
        companded = plan.mix(Product((samples,)), activation=self.compress)
        if self.channels == 1:
            return companded
        return plan.add(Term(companded, self.companded), Term(samples, self.as_it_is))

    def plan_decode(self, plan: Plan, params: int) -> int:
        if self.params == 1:
            return plan.mix(Product((params,)), activation=self.expand)
        expanded = plan.add(Term(params, self.first), activation=self.expand)
        return plan.add(Term(expanded, self.companded[:1]), Term(params, self.second))


def companding(mu: float) -> tuple[Activation, Activation]:
    """The activations that compress and expand; ValueError if `mu` is out of range."""
    check_range("mu", mu, 1, 65_535)
    return Activation("mulaw_compress", float(mu)), Activation("mulaw_expand", float(mu))


def levels(count: int) -> Tensor:
    """`count` levels spread evenly over [-1, 1]."""
    return torch.linspace(-1, 1, count)
