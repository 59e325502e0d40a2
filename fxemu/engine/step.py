"""One sample of a plan as a PyTorch function of explicit state: what ONNX and TorchScript files are made of.

Shapes: W width of a value, P samples of its past, U units of a step, N taps.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor, nn

from fxemu.engine.activations import activate
from fxemu.engine.lookup import look_up
from fxemu.engine.plan import DRY, Layer, Lookup, Mix, Part
from fxemu.engine.playable import Playable
from fxemu.engine.settle import settled
from fxemu.engine.simplify import on_cpu

# (value, span, dilation) to every `dilation`-th of the value's last span + 1 samples, oldest first: (1, W, N).
Window = Callable[[int, int, int], Tensor]


class PlanStep(nn.Module):
    """(dry (1,), state...) to (wet (1,), next state...): a state is the past (W, P) of a value, oldest first.

    `start` holds the states in which silence has left them, and `values` what each is the past of.
    """

    def __init__(self, loop: Playable) -> None:
        super().__init__()
        self.plan = on_cpu(loop.plan())
        past, quiet = self.plan.histories(), settled(loop, self.plan)
        self.values = [value for value in quiet if past[value]]
        self.start = [quiet[value][:, None].repeat(1, past[value]) for value in self.values]

    def forward(self, dry: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        pasts = {value: row[None] for value, row in zip(self.values, state, strict=True)}
        now = {DRY: dry[None, None]}

        def window(value: int, span: int, dilation: int) -> Tensor:
            # A state's ends one sample ago.
            if value in self.plan.sources:
                row = pasts[self.plan.sources[value]]
            else:
                row = torch.cat((pasts[value], now[value]), dim=2) if span else now[value]
            return row[..., row.shape[2] - 1 - span :: dilation]

        for value, step in self.plan.values():
            if isinstance(step, Part):
                now[value] = now[step.source][:, step.first : step.first + step.units]
            elif value not in self.plan.sources:
                now[value] = _made(step, window)[..., None]
        following = [torch.cat((pasts[v], now[v]), dim=2)[0, :, 1:] for v in self.values]
        return now[self.plan.last][0, 0], *following


def _made(step: Layer | Mix | Lookup, window: Window) -> Tensor:
    """What a step makes of the windows that it reads: (1, U)."""
    if isinstance(step, Layer):
        bias = 0.0 if step.bias is None else step.bias
        z = sum((window(t.source, t.span, t.dilation).flatten(1) @ t.weight.flatten(1).T for t in step.terms), bias)
    elif isinstance(step, Mix):
        z = sum(p.scale * reduce(torch.mul, (window(f, 0, 1)[..., 0] for f in p.factors)) for p in step.products)
    else:
        z = look_up(step.table, window(step.source, 0, 1), step.nearest)[..., 0]
    return activate(z[..., None], step.activation)[..., 0]
