"""A closed loop at a multiple of its sample rate, against aliasing, without training anew."""

from __future__ import annotations

from dataclasses import dataclass

from fxemu.engine.oversampling import FACTORS, LATENCY, oversample
from fxemu.engine.plan import Plan
from fxemu.engine.playable import Playable
from fxemu.errors import UserError


class OversamplingError(UserError):
    """A factor that there is not, or a model that cannot be oversampled."""


@dataclass(frozen=True)
class Oversampled:
    """A model that plays at `factor` times its rate inside, `LATENCY` samples late.

    Raises:
        OversamplingError: for a factor that is not 2, 4 or 8, or a model with an oscillator.
    """

    loop: Playable
    factor: int

    def __post_init__(self) -> None:
        if self.factor not in FACTORS[1:]:
            raise OversamplingError(f"oversampling: got {self.factor}; must be 1 (none), 2, 4 or 8")
        if self.loop.knobs:
            raise OversamplingError("oversampling: of a model with knobs, only at a setting that does not move")
        if self.loop.periodic:
            raise OversamplingError("oversampling: this model has an oscillator, of which each copy would have its own")

    periodic = False
    knobs = ()

    @property
    def warm_up(self) -> int:
        """Samples of history: of each copy, and of the filters."""
        return self.loop.warm_up + LATENCY

    def plan(self) -> Plan:
        return oversample(self.loop.plan(), self.factor)


def oversampled(loop: Playable, factor: int) -> Playable:
    """A model with `factor` times oversampling; itself for 1. OversamplingError as for `Oversampled`."""
    return loop if factor == 1 else Oversampled(loop, factor)
