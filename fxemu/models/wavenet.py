"""A dilated convolutional predictor over dry and, with feedback, wet samples.

`feedback=False` is the feed-forward WaveNet of Wright et al. 2020, "Real-time guitar amplifier emulation with deep
learning", in the layout that Neural Amp Modeler uses: arrays of layers of falling width, a condition mixed into every
layer, and the sum of the layers' outputs as the head.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fxemu.engine.activations import activate, hidden_activation
from fxemu.engine.plan import SIGMOID, Activation, Plan, Product, Term
from fxemu.errors import check_least
from fxemu.models.base import Predictor
from fxemu.models.parts.pointwise import Pointwise


class WaveNet(Predictor):
    """Arrays of dilated convolutions; each layer also sees the present samples directly.

    Args:
        channels: feature channels a sample (C), set by the input representation.
        params: parameters of the next sample (P), set by the output representation.
        width: units of the first array of layers, at least 1; each array after it is half as wide.
        arrays: how many, at least 1.
        kernel: taps of each convolution, at least 2.
        dilations: of the layers of every array, each at least 1.
        activation: of hidden layers, by name (`engine.activations.HIDDEN`).
        gated: whether each layer is multiplied by a sigmoid gate of its own.
        feedback: False for the control that sees no wet samples.
    """

    vectorised = True

    def __init__(
        self,
        channels: int,
        params: int,
        width: int = 8,
        arrays: int = 2,
        kernel: int = 3,
        dilations: Sequence[int] = (1, 2, 4, 8, 16, 32, 64),
        activation: str = "tanh",
        gated: bool = False,
        feedback: bool = True,
    ) -> None:
        super().__init__()
        check_least(1, width=width, arrays=arrays, dilations=min(dilations, default=0))
        check_least(2, kernel=kernel)
        widths = [max(1, width >> i) for i in range(arrays)]
        self.channels, self.feedback = channels, feedback
        # The fed-back samples lie one further back than the dry ones.
        self.receptive_field = 1 + arrays * (kernel - 1) * sum(dilations) + int(feedback)
        seen = channels * (2 if feedback else 1)
        sizes = zip((seen, *widths), widths, (*widths[1:], params), strict=False)
        kind = hidden_activation(activation)
        self.arrays = nn.ModuleList(
            _Array(seen, before, width, after, kernel, dilations, kind, gated) for before, width, after in sizes
        )
        self.last_bias = f"arrays.{arrays - 1}.head.bias"
        # Nothing reads what the very last layer would pass on.
        self.arrays[-1].layers[-1].out = None
        # Start quiet, and with a weak loop, so that the first free runs stay bounded.
        with torch.no_grad():
            self.arrays[-1].head.weight.mul_(0.1)
            for weight in (self.arrays[0].rechannel.weight, *(x.mix.weight for a in self.arrays for x in a.layers)):
                weight[:, channels:].mul_(0.3)

    def forward(self, dry: Tensor, wet: Tensor) -> Tensor:
        x = seen = torch.cat((dry, F.pad(wet, (1, -1))), dim=1) if self.feedback else dry
        samples, head = dry.shape[-1] - self.receptive_field + 1, None
        for array in self.arrays:
            x, head = array(x, seen, head, samples)
        return head

    def plan(self, plan: Plan, dry: int, wet: int) -> int:
        values = [dry, wet] if self.feedback else [dry]
        x, head = values, None
        for array in self.arrays:
            x, head = array.plan(plan, x, values, head)
        return head


class _Layer(nn.Module):
    """act(dilated convolution + present samples) [times a gate], and a 1x1 convolution of it added to the input.

    The last layer of all has no such convolution: `out` is None.
    """

    def __init__(self, seen: int, width: int, kernel: int, dilation: int, activation: Activation, gated: bool) -> None:
        super().__init__()
        self.activation, self.gated, self.width = activation, gated, width
        self.memory = (kernel - 1) * dilation
        wide = 2 * width if gated else width
        self.conv = nn.Conv1d(width, wide, kernel, dilation=dilation)
        self.mix = Pointwise(seen, wide, bias=False)
        self.out: Pointwise | None = Pointwise(width, width)

    def forward(self, x: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, W, T), seen (B, C, T') to the next layer's input and this one's output, (B, W, T - memory) each."""
        z = self.conv(x)
        z = z + self.mix(_latest(seen, z.shape[-1]))
        if self.gated:
            z = activate(z[:, : self.width], self.activation) * torch.sigmoid(z[:, self.width :])
        else:
            z = activate(z, self.activation)
        return z if self.out is None else _latest(x, z.shape[-1]) + self.out(z), z

    def plan(self, plan: Plan, x: int, seen: list[int]) -> tuple[int, int]:
        z = self._plan_half(plan, x, seen, slice(0, self.width), self.activation)
        if self.gated:
            gate = self._plan_half(plan, x, seen, slice(self.width, None), SIGMOID)
            z = plan.mix(Product((z, gate)))
        if self.out is None:
            return z, z
        out = plan.add(Term(z, self.out.weight), bias=self.out.bias)
        return plan.mix(Product((x,)), Product((out,))), z

    def _plan_half(self, plan: Plan, x: int, seen: list[int], rows: slice, activation: Activation) -> int:
        conv = Term(x, self.conv.weight[rows], self.conv.dilation[0])
        return plan.add(
            conv, *_plan_split(self.mix.weight[rows], seen), bias=self.conv.bias[rows], activation=activation
        )


class _Array(nn.Module):
    """Layers of one width, with 1x1 convolutions into it and, for the head, out of it."""

    def __init__(
        self,
        seen: int,
        before: int,
        width: int,
        after: int,
        kernel: int,
        dilations: Sequence[int],
        activation: Activation,
        gated: bool,
    ) -> None:
        super().__init__()
        self.rechannel = Pointwise(before, width, bias=False)
        self.layers = nn.ModuleList(_Layer(seen, width, kernel, d, activation, gated) for d in dilations)
        self.head = Pointwise(width, after)

    def forward(self, x: Tensor, seen: Tensor, head: Tensor | None, samples: int) -> tuple[Tensor, Tensor]:
        """x (B, W, T) and the head so far to the next array's x and head; the head is `samples` long."""
        x, outputs = self.rechannel(x), [] if head is None else [head]
        for layer in self.layers:
            x, z = layer(x, seen)
            outputs.append(_latest(z, samples))
        return x, self.head(sum(outputs))

    def plan(self, plan: Plan, x: list[int], seen: list[int], head: int | None) -> tuple[list[int], int]:
        value = plan.add(*_plan_split(self.rechannel.weight, x))
        outputs = [] if head is None else [head]
        for layer in self.layers:
            value, z = layer.plan(plan, value, seen)
            outputs.append(z)
        total = plan.mix(*(Product((z,)) for z in outputs))
        return [value], plan.add(Term(total, self.head.weight), bias=self.head.bias)


def _latest(x: Tensor, samples: int) -> Tensor:
    return x[..., x.shape[-1] - samples :]


def _plan_split(weight: Tensor, values: list[int]) -> list[Term]:
    """A 1x1 convolution of several values, one channel after another, as a term a value."""
    return [Term(value, part) for value, part in zip(values, weight.chunk(len(values), dim=1), strict=True)]
