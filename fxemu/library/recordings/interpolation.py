"""Resampling at any start and any step, by a windowed sinc."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fxemu.audio.polyphase import sinc_table

Array = NDArray[np.float64]
# Rows of the sinc's table.
PHASES = 512


def resample(signal: Array, first: float, step: float, samples: int) -> Array:
    """signal[first + n step] for n < samples, zero outside the signal: (samples,)."""
    return _interpolate(signal, first, step, samples, sinc_table(phases=PHASES))


@njit(cache=True)
def _interpolate(signal: Array, first: float, step: float, samples: int, table: Array) -> Array:  # pragma: no cover
    """`resample` with a sinc table, linear between its phases."""
    out = np.zeros(samples)
    phases, taps = table.shape[0] - 1, table.shape[1]
    for n in range(samples):
        place = first + n * step
        whole = int(np.floor(place))
        phase = (place - whole) * phases
        row = int(phase)
        share = phase - row
        low = whole - taps // 2 + 1
        total = 0.0
        for k in range(max(0, -low), min(taps, signal.size - low)):
            total += signal[low + k] * ((1 - share) * table[row, k] + share * table[row + 1, k])
        out[n] = total
    return out
