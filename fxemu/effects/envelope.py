"""Envelope followers: levels and gains smoothed with an attack and a release time."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

# The lowest amplitude that is distinguished from silence: -120 dB.
FLOOR = 1e-6
# Time constants in which a detector's start has decayed to 1e-5: ln(1e5).
SETTLED = 11.5


def level_db(dry: Tensor) -> NDArray:
    """The magnitude of each sample in dB of full scale, float64 (samples,), -120 at least."""
    return 20 * np.log10(np.maximum(dry.double().abs().numpy(), FLOOR))


def coefficient(time_s: float, sample_rate: int) -> float:
    """Coefficient of a one-pole average with time constant `time_s`; 0 for no averaging."""
    return math.exp(-1 / (time_s * sample_rate)) if time_s else 0.0


@njit(cache=True)
def follow_peaks(x: NDArray, attack: float, release: float, start: float) -> NDArray:
    """x (samples,) with its peaks held: falling by `release`, then rising and falling by `attack`, from `start` on.

    The smooth decoupled peak detector of Giannoulis, Massberg & Reiss (2012), equation 17.
    """
    followed = np.empty_like(x)
    peak = average = start
    for n in range(x.size):
        peak = max(x[n], release * peak + (1 - release) * x[n])
        average = attack * average + (1 - attack) * peak
        followed[n] = average
    return followed
