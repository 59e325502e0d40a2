"""Knobs of an effect: their names, ranges and tapers, and positions from -1 to 1."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
from scipy.signal import lfilter
from torch import Tensor

from fxemu.engine.plan import PERIOD
from fxemu.errors import UserError

# Units by the end of a name: shown to people, and whether equal steps of the position are equal ratios of the value.
# Time in which a knob that jumps comes within 37 % of where it is turned to, in s.
SMOOTHING_S = 0.02
MOST_KNOBS = 8
UNITS = {"db": ("dB", False), "hz": ("Hz", True), "ms": ("ms", True)}


class KnobError(UserError):
    """A knob or a setting that there is not, or that is out of range; the message states what is allowed."""


@dataclass(frozen=True)
class Knob:
    """A knob.

    Args:
        name: of the effect's argument; its end tells the unit: `_db`, `_hz`, `_ms`, or none.
        low, high: of its range, low below high; of a knob in Hz or ms both above 0.
        default: where it stands unless it is turned, in the range.
    """

    name: str
    low: float
    high: float
    default: float

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,59}", self.name):
            raise KnobError(f"knobs: got the name {self.name!r}; must be letters, digits and underscores")
        values = self.low, self.high, self.default
        if not all(isinstance(x, Real) and not isinstance(x, bool) and math.isfinite(x) for x in values):
            raise KnobError(f"knobs.{self.name}: got {list(values)}; must be a lowest and a highest value, finite")
        if not self.low < self.high:
            raise KnobError(
                f"knobs.{self.name}: got {self.low:g} to {self.high:g}; the lowest value must be below the highest "
                "(for a knob that stands still, set the effect's option)"
            )
        if self.by_ratio and self.low <= 0:
            raise KnobError(f"knobs.{self.name}: got {self.low:g} as its lowest value; must be above 0 {self.unit}")
        self.position(self.default)

    @property
    def unit(self) -> str:
        """dB, Hz, ms, or nothing."""
        return UNITS.get(self.name.rsplit("_", 1)[-1], ("", False))[0]

    @property
    def by_ratio(self) -> bool:
        """Whether the same turn changes the value by the same ratio, not by the same amount."""
        return UNITS.get(self.name.rsplit("_", 1)[-1], ("", False))[1]

    @property
    def taper(self) -> tuple[float, float]:
        """Offset and slope: the position is offset + slope * value, or * the value's logarithm if `by_ratio`."""
        low, high = (math.log(x) if self.by_ratio else x for x in (self.low, self.high))
        return -1 - 2 * low / (high - low), 2 / (high - low)

    def position(self, value: float) -> float:
        """Where the knob stands, -1 to 1, for a value; KnobError out of the range."""
        if not isinstance(value, Real) or not self.low <= value <= self.high:
            raise KnobError(
                f"{self.name}: got {value}; must be from {self.low:g} to {self.high:g} {self.unit}".rstrip()
            )
        offset, slope = self.taper
        return offset + slope * (math.log(value) if self.by_ratio else value)

    def value(self, position: float) -> float:
        """The value for a position from -1 to 1, which is held in that range."""
        share = (min(1.0, max(-1.0, position)) + 1) / 2
        if self.by_ratio:
            return min(self.high, max(self.low, self.low * (self.high / self.low) ** share))
        return self.low + share * (self.high - self.low)

    def track(self, position: Tensor) -> Tensor:
        """The values for positions (samples,), float64."""
        share = (position.double().clamp(-1, 1) + 1) / 2
        if self.by_ratio:
            return self.low * (self.high / self.low) ** share
        return self.low + share * (self.high - self.low)


def positions(knobs: Sequence[Knob], settings: Mapping[str, float]) -> Tensor:
    """Positions (K,) of the knobs at settings by name, the others at their defaults; KnobError for an unknown name."""
    known = {knob.name for knob in knobs}
    for name in settings:
        if name not in known:
            has = f"has {', '.join(sorted(known))}" if known else "was trained without knobs"
            raise KnobError(f"{name}: the model {has}")
    return torch.tensor([knob.position(settings.get(knob.name, knob.default)) for knob in knobs])


def values(knobs: Sequence[Knob], at: Tensor) -> dict[str, float]:
    """The values of the knobs by name at positions (K,)."""
    return {knob.name: knob.value(position) for knob, position in zip(knobs, at.tolist(), strict=True)}


def from_description(listed: Sequence[Mapping[str, Any]]) -> tuple[Knob, ...]:
    """Knobs from plain data, as a model's file holds them."""
    if len(listed) > MOST_KNOBS:
        raise KnobError(f"knobs: got {len(listed)}; at most {MOST_KNOBS}")
    return tuple(Knob(**one) for one in listed)


def smoothing(rate: int) -> float:
    """The part of a turn that is left one point later (`engine/control.py`), of audio at a rate in Hz."""
    return math.exp(-PERIOD / (SMOOTHING_S * rate))


def smoothed(positions: Tensor, before: Tensor, rate: int) -> Tensor:
    """Positions (K, G) at points through one pole of `SMOOTHING_S`, which stood at `before` (K,): (K, G).

    A position is where the knob is turned to; what comes of it is where the knob stands at the next point.
    """
    kept = smoothing(rate)
    moved, _ = lfilter([1 - kept], [1, -kept], positions.double().numpy(), zi=kept * before.double().numpy()[:, None])
    return torch.from_numpy(moved).float()
