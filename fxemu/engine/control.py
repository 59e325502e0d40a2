"""Control rate: what depends on an effect's knobs alone is computed at every 32nd sample, and is linear between.

Steps at the rate of the audio read these values as factors of mixes alone. The samples are counted from the start of a
stream, or of what is given. Shapes: B batch, K knobs, W width of a value, T samples, G points 32 samples apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fxemu.engine.feedforward import evaluate
from fxemu.engine.plan import DRY, PERIOD, Plan
from fxemu.engine.simplify import renumbered


def control_plan(plan: Plan) -> tuple[Plan, dict[int, int]]:
    """The control values as a plan of their own, over the knobs as its DRY, and their numbers in it by those here."""
    own, number, control = Plan(channels=plan.width(plan.knobs)), {plan.knobs: DRY}, plan.control
    for value, step in plan.values():
        if value in control and value != plan.knobs:
            number[value] = own.append(renumbered(step, number))
    return own, number


def at_points(plan: Plan, positions: Tensor, wanted: set[int] | None = None) -> dict[int, Tensor]:
    """Control values (B, W, G) with the knobs at positions (B, K, G) at each point; None wants all that are read."""
    wanted = plan.control_outputs if wanted is None else wanted
    found = evaluate(plan, {plan.knobs: positions}, wanted)
    return {value: found[value] for value in sorted(wanted)}


def between_points(values: Tensor, first: int, samples: int) -> Tensor:
    """Values (B, W, G) at points, linear between: (B, W, samples), from sample `first` after the first point on."""
    share = torch.arange(PERIOD, device=values.device, dtype=values.dtype) / PERIOD
    start = values[..., :-1, None]
    return (start + (values[..., 1:, None] - start) * share).flatten(-2)[..., first : first + samples]


def input_signals(plan: Plan, dry: Tensor, knobs: Tensor | None = None) -> dict[int, Tensor]:
    """The signals given from outside by value: dry (B, 1, T) and the control values of a plan with knobs (B, W, T).

    Positions of the K knobs are (B, K, T), of which every 32nd and the last count, or (B, K, 1) if they stand still; a
    single stream's stand for all. ValueError for others.
    """
    if plan.knobs is None:
        if knobs is not None:
            raise ValueError("knobs: this model has none")
        return {DRY: dry}
    units = plan.width(plan.knobs)
    if knobs is None or knobs.shape[1] != units:
        raise ValueError(f"knobs: got {None if knobs is None else tuple(knobs.shape)}; this model has {units}")
    samples, still = dry.shape[-1], knobs.shape[-1] == 1
    values = at_points(plan, knobs if still else torch.cat((knobs[..., ::PERIOD], knobs[..., -1:]), dim=-1))
    spread = {
        value: x.expand(-1, -1, samples) if still else between_points(x, 0, samples) for value, x in values.items()
    }
    return {DRY: dry, **{value: x.expand(dry.shape[0], -1, -1) for value, x in spread.items()}}


@dataclass(frozen=True)
class ControlTrack:
    """Where the knobs of a stream stand, from some point in the past to the first at or after the present sample.

    Args:
        plan: with K knobs.
        points: positions (K, G).
        phase: samples from the last point but one to the present sample, 0 where this is at the last one.
    """

    plan: Plan
    points: Tensor
    phase: int = 0

    @classmethod
    def still(cls, plan: Plan, positions: Tensor, past: int) -> ControlTrack:
        """Knobs that have stood at positions (K,) for at least `past` samples."""
        return cls(plan, positions[:, None].repeat(1, 2 + -(-past // PERIOD)))

    def begun(self, samples: int) -> int:
        """How many points there are in the next so many samples."""
        return -(-(self.phase + samples) // PERIOD) - -(-self.phase // PERIOD)

    def later(self, samples: int, positions: Tensor | None = None) -> ControlTrack:
        """So many samples later, with all points before.

        At each point in these samples it is decided where the knobs stand at the next one: at `positions` (K, points),
        or where they stand already. ValueError for another number of points.
        """
        begun = self.begun(samples)
        new = self.points[:, -1:].expand(-1, begun) if positions is None else positions
        if new.shape != (len(self.points), begun):
            raise ValueError(f"knobs: got {tuple(new.shape)}; must be {(len(self.points), begun)} for these samples")
        return ControlTrack(self.plan, torch.cat((self.points, new), dim=1), (self.phase + samples) % PERIOD)

    def latest(self, past: int) -> ControlTrack:
        """The same without what is over for more than `past` samples."""
        return ControlTrack(self.plan, self.points[:, -2 - -(-past // PERIOD) :], self.phase)

    def signals(self, wanted: set[int], samples: int) -> dict[int, Tensor]:
        """Control values at the last so many samples, (1, W, samples)."""
        first = PERIOD * (self.points.shape[1] - 1) - -self.phase % PERIOD - samples
        values = at_points(self.plan, self.points[None], wanted)
        return {value: between_points(x, first, samples) for value, x in values.items()}

    def around(self, samples: int) -> tuple[Tensor, int]:
        """Positions (K, G) at the points around the last so many samples; samples from the first point to theirs."""
        phase = (self.phase - samples) % PERIOD
        return self.points[:, -1 - -(-(phase + samples) // PERIOD) :], phase
