"""An explanation of a recording: a simple kind of effect fitted to dry and wet, and the energy that it leaves."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Explanation:
    """A simple effect fitted to dry and wet.

    Args:
        kind: of effect, such as "dynamics".
        words: what it is, as part of a sentence.
        unexplained: share of the energy of wet that it leaves.
        figures: what it does, as numbers by name, units in the names.
        wet: its output, (samples,) float64; None where it was fitted to a part of the band alone.
    """

    kind: str
    words: str
    unexplained: float
    figures: dict[str, float] = field(default_factory=dict)
    wet: Tensor | None = None


def share_left(prediction: Tensor, wet: Tensor, skip: int = 0) -> float:
    """Energy of what a prediction leaves of wet, as a share, both (samples,), from sample `skip` on."""
    prediction, wet = prediction[skip:], wet[skip:]
    return float((prediction - wet).square().sum() / wet.square().sum().clamp_min(1e-30))


def share_db(share: float) -> float:
    """A share of energy in dB, -120 at least."""
    return 10 * math.log10(max(share, 1e-12))


def in_hz(frequency: float) -> str:
    """A frequency in words: 85 Hz, 1.3 kHz."""
    return f"{frequency:.0f} Hz" if frequency < 1000 else f"{frequency / 1000:.2g} kHz"


def in_time(seconds: float) -> str:
    """A duration in words: 0.3 ms, 80 ms, 1.2 s."""
    if seconds >= 1:
        return f"{seconds:.2g} s"
    return f"{1000 * seconds:.0f} ms" if seconds >= 0.01 else f"{1000 * seconds:.1g} ms"
