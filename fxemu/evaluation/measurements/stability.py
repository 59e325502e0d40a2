"""Stability: whether a free run stays bounded, comes back to rest, and forgets a disturbance of its history."""

from __future__ import annotations

import torch
from torch import Tensor

from fxemu.engine.streaming.stream import Stream, render
from fxemu.evaluation.scores import StabilityScores
from fxemu.models.closed_loop import ClosedLoop

# A disturbance counts as forgotten when it has fallen by this much.
FORGOTTEN_DB = -60.0
DISTURBANCE = 0.1


def stability(loop: ClosedLoop, dry: Tensor, sample_rate: int) -> StabilityScores:
    """Free runs on signals that provoke trouble.

    Args:
        loop: a trained predictor with its representations.
        dry: a stretch of music (samples,), 1 s or more.
        sample_rate: in Hz.
    """
    silence = torch.zeros(sample_rate)
    square = torch.where(torch.arange(sample_rate // 2) % (sample_rate // 100) < sample_rate // 200, 1.0, -1.0)
    click = torch.ones(1)
    rest = render(loop, silence)
    runs = {name: render(loop, torch.cat((x, silence))) for name, x in (("square", square), ("click", click))}
    tail = sample_rate // 10
    largest = max(float(run.abs().max()) for run in (rest, *runs.values()))
    after = {f"after_{name}": float((run[-tail:] - rest[-tail:]).abs().max()) for name, run in runs.items()}
    return StabilityScores(
        rest=float(rest[-tail:].abs().max()),
        rest_peak=float(rest.abs().max()),
        **after,
        largest=largest / float(loop.limit),
        forgets_ms=forgets_ms(loop, dry, sample_rate),
    )


def forgets_ms(loop: ClosedLoop, dry: Tensor, sample_rate: int) -> float | None:
    """Time for which a disturbed history changes a free run over `dry` (samples,), in ms; None if to its end."""
    history = max(1, loop.warm_up)
    noise = torch.rand(history, generator=torch.Generator().manual_seed(0)) * 2 - 1
    runs = [Stream(loop, torch.zeros(history), wet).process(dry) for wet in (0 * noise, DISTURBANCE * noise)]
    changed = ((runs[0] - runs[1]).abs() > DISTURBANCE * 10 ** (FORGOTTEN_DB / 20)).nonzero()
    if not changed.numel():
        return 0.0
    last = int(changed[-1])
    return None if last >= dry.numel() - sample_rate // 100 else 1000 * (last + 1) / sample_rate
