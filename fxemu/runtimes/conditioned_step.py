"""One sample of a model with knobs, which it takes by value, in their units, and smooths."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fxemu.engine.plan import PERIOD
from fxemu.engine.step import PlanStep
from fxemu.models.knobs import Knob, positions, smoothing


class ConditionedStep(nn.Module):
    """(dry (1,), values of K knobs (K,), positions (K, 2), samples (1,), state...) to (wet (1,), the last three anew).

    The positions are those at the points before and after the sample, which is `samples` after the first. They are
    smoothed, in float64: in float32 a slow turn would stop short. A value out of range is held in it, one that is not
    finite counts as the default. `start` holds positions, samples and states at the defaults, at rest.
    """

    def __init__(self, step: PlanStep, knobs: Sequence[Knob], sample_rate: int) -> None:
        super().__init__()
        self.step, self.kept = step, smoothing(sample_rate)
        self.register_buffer("low", torch.tensor([knob.low for knob in knobs]))
        self.register_buffer("high", torch.tensor([knob.high for knob in knobs]))
        self.register_buffer("default", torch.tensor([knob.default for knob in knobs]))
        self.register_buffer("by_ratio", torch.tensor([knob.by_ratio for knob in knobs]))
        offset, slope = zip(*(knob.taper for knob in knobs), strict=True)
        self.register_buffer("offset", torch.tensor(offset))
        self.register_buffer("slope", torch.tensor(slope))
        self.start = [positions(knobs, {}).double()[:, None].repeat(1, 2), torch.zeros(1), *step.start]

    def aimed(self, values: Tensor) -> Tensor:
        """The positions (K,) for values (K,), float64."""
        values = torch.where(torch.isfinite(values), values, self.default)
        values = torch.minimum(torch.maximum(values, self.low), self.high)
        # Of a value that may be negative the logarithm is not taken, lest it be NaN.
        logarithm = torch.where(self.by_ratio, values, 1.0).log()
        return (self.offset + self.slope * torch.where(self.by_ratio, logarithm, values)).double()

    def forward(
        self, dry: Tensor, values: Tensor, points: Tensor, samples: Tensor, *state: Tensor
    ) -> tuple[Tensor, ...]:
        aimed = self.aimed(values)[:, None]
        later = torch.cat((points[:, 1:], aimed + self.kept * (points[:, 1:] - aimed)), dim=1)
        points = torch.where(samples == 0, later, points)
        wet, *following = self.step(dry, points.float(), samples / PERIOD, *state)
        return wet, points, torch.where(samples == PERIOD - 1, 0.0, samples + 1), *following
