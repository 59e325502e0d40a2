"""One sample of a plan as a PyTorch function of explicit state: what ONNX and TorchScript files are made of.

Shapes: W width of a value, P samples of its past.
"""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor, nn

from fxemu.activations import activate, look_up
from fxemu.engine.stream import on_cpu
from fxemu.export.base import Model
from fxemu.export.silence import settled
from fxemu.plan import DRY, Layer, Mix, Part, Step, Term


class PlanStep(nn.Module):
    """(dry (1,), state...) to (wet (1,), next state...): a state is the past (W, P) of a value, oldest first.

    `start` holds the states in which silence has left them, and `values` what each is the past of.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.plan = on_cpu(model.loop.plan())
        past, quiet = self.plan.histories(), settled(model.loop, self.plan)
        self.values = [value for value in quiet if past[value]]
        self.start = [quiet[value][:, None].repeat(1, past[value]) for value in self.values]

    def forward(self, dry: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        pasts = dict(zip(self.values, state, strict=True))
        now = {DRY: dry[None]}
        for value, step in self.plan.values():
            if isinstance(step, Part):
                now[value] = now[step.source][step.first : step.first + step.units]
            elif value not in self.plan.sources:
                now[value] = activate(self._value(step, now, pasts)[None], step.activation)[0]
        following = [torch.cat((pasts[v], now[v]), dim=1)[:, 1:] for v in self.values]
        return now[self.plan.last][0], *following

    def _value(self, step: Step, now: dict[int, Tensor], pasts: dict[int, Tensor]) -> Tensor:
        """What a step gives before its activation: (W, 1)."""
        if isinstance(step, Layer):
            parts = [self._term(term, now, pasts) for term in step.terms]
            return reduce(torch.add, parts if step.bias is None else [*parts, step.bias[:, None]])
        if isinstance(step, Mix):
            products = [
                (p.scale[:, None] if isinstance(p.scale, Tensor) else p.scale)
                * reduce(torch.mul, [self._window(f, 0, 1, now, pasts) for f in p.factors])
                for p in step.products
            ]
            return reduce(torch.add, products)
        return look_up(step.table, self._window(step.source, 0, 1, now, pasts)[None], step.nearest)[0]

    def _term(self, term: Term, now: dict[int, Tensor], pasts: dict[int, Tensor]) -> Tensor:
        window = self._window(term.source, term.span, term.dilation, now, pasts)
        return term.weight.flatten(1) @ window.reshape(-1, 1)

    def _window(self, value: int, span: int, dilation: int, now: dict, pasts: dict) -> Tensor:
        """Every `dilation`-th of the last span + 1 samples of a value, (W, N): of a state, those before the present."""
        if value in self.plan.sources:
            row, end = pasts[self.plan.sources[value]], None
        elif span:
            row, end = torch.cat((pasts[value], now[value]), dim=1), None
        else:
            return now[value]
        first = row.shape[1] - 1 - span
        return row[:, first:end:dilation]


class WholeSong(nn.Module):
    """dry (T,) to wet (T,) at once, from silence, for a predictor that does not hear its own output."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.loop, self.limit = model.loop, float(model.loop.limit)

    def forward(self, dry: Tensor) -> Tensor:
        dry = torch.cat((torch.zeros(self.loop.warm_up), dry))[None, None]
        return self.loop.teacher_forced(dry, dry)[0][0, 0].clamp(-self.limit, self.limit)
