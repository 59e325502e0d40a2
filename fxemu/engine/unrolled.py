"""Rollouts where the compiled loops are not: a plan's sequential steps one by one in PyTorch, on any device.

Autograd takes care of the gradient. Shapes: B batch, W width, H history, K steps.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fxemu.engine.batch import boundary, drive, evaluate, pasts
from fxemu.engine.sample import one_sample
from fxemu.plan import DRY, Layer, Part, Plan


def unrolled(plan: Plan, signals: dict[int, Tensor], dry: Tensor, history: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """A free run of K steps after dry and wet history (B, 1, H), given all feed-forward signals.

    Returns:
        the prediction (B, 1, K), and the parameters that it was decoded from (B, P, K).
    """
    if plan.hidden_states():
        with torch.no_grad():
            past = _forced(plan, dry, history)
    else:
        past = {value: list(x.unbind(-1)) for value, x in pasts(plan, dry, history).items()}
    tape = _run(plan, signals, past, steps, None)
    heard, params = (torch.stack(tape[value][-steps:], dim=-1) for value in (plan.last, plan.params))
    return heard, params


def _forced(plan: Plan, dry: Tensor, wet: Tensor) -> dict[int, list[Tensor]]:
    """Every value of a teacher-forced run from silence over the history."""
    silence = sum(span for value, span in plan.histories().items() if value in plan.feedforward())
    signals = evaluate(plan, {DRY: F.pad(dry, (silence, 0))}, boundary(plan))
    spans = plan.histories()
    past = {v: [dry.new_zeros(dry.shape[0], plan.width(v))] * spans[v] for v in plan.looping()}
    return _run(plan, signals, past, wet.shape[-1], wet)


def _run(
    plan: Plan, signals: dict[int, Tensor], past: dict[int, list[Tensor]], steps: int, heard: Tensor | None
) -> dict[int, list[Tensor]]:
    """All samples (B, W) of every looping value, past included; what is heard is given, or computed."""
    tape = {value: list(past.get(value, ())) for value in plan.looping()}
    drives = {v: drive(plan, v, signals, steps) for v in tape if isinstance(plan.step(v), Layer)}

    before = {value: len(given) for value, given in tape.items()}

    def seen(value: int, t: int, back: int = 0) -> Tensor:
        if value in plan.sources:
            value, back = plan.sources[value], back + 1
        elif value not in signals and isinstance(plan.step(value), Part):
            part = plan.step(value)
            return seen(part.source, t, back)[:, part.first : part.first + part.units]
        if value in tape:
            return tape[value][before[value] + t - back]
        return signals[value][..., t - steps]

    for t in range(steps):

        def window(value: int, span: int, dilation: int, t: int = t) -> Tensor:
            return torch.stack([seen(value, t, lag) for lag in range(span, -1, -dilation)], dim=-1)

        for value in tape:
            if value == plan.last and heard is not None:
                tape[value].append(heard[..., t])
            elif value in drives:
                given = drives[value][..., t if drives[value].shape[-1] > 1 else 0]
                tape[value].append(one_sample(plan.step(value), window, plan.looping_terms(value), given))
            else:
                tape[value].append(one_sample(plan.step(value), window))
    return tape
