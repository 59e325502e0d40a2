"""Innovations of a signal: what linear prediction from its past leaves, at an even level.

A causal filter of leading tap 1 takes out all that the past foretells, so an event stays at the sample where it begins,
and so does its effect in wet, however an effect of minimum phase or a clipper may smear or bend it. The correlation of
two signals' innovations therefore begins at the transport delay between them and not at the effect's group delay.

Shapes: N samples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_toeplitz

Array = NDArray[np.float64]
ORDER, BLOCK = 32, 4096  # of the predictor; samples for which it is computed anew
LEVEL_SAMPLES, LEAST_POWER = 2048, 1e-2  # of the past whose power is made 1; least power, as a share of the mean
NOISE_FLOOR = 1e-9  # relative to the power of a block, so that a tone can be predicted at all


def innovations(x: Array) -> Array:
    """Innovations (N,) of x (N,), of unit power; 0 throughout for silence."""
    residual = _residual(x)
    power = np.cumsum(np.pad(residual**2, (LEVEL_SAMPLES, 0)))
    power = (power[LEVEL_SAMPLES:] - power[:-LEVEL_SAMPLES]) / LEVEL_SAMPLES
    return residual / np.sqrt(power.clip(0) + LEAST_POWER * np.mean(residual**2) + 1e-300)


def _residual(x: Array) -> Array:
    """Residual of the linear prediction of each block: (N,)."""
    count = -(-x.size // BLOCK)
    padded = np.pad(x, (ORDER, count * BLOCK - x.size))
    frames = np.lib.stride_tricks.sliding_window_view(padded, BLOCK + ORDER)[::BLOCK]
    taper = np.hanning(2 * ORDER + 1)[:ORDER]
    window = np.concatenate((taper, np.ones(BLOCK - ORDER), taper[::-1]))
    return np.concatenate([np.convolve(frame, _whitening(window * frame), "valid") for frame in frames])[: x.size]


def _whitening(frame: Array) -> Array:
    """Taps (ORDER + 1,) of the filter that leaves the prediction error of a frame, by the autocorrelation method."""
    spectrum = np.fft.rfft(frame, 2 * frame.size)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[: ORDER + 1]
    taps = np.zeros(ORDER + 1)
    taps[0] = 1
    if correlation[0] > 0:
        correlation[0] *= 1 + NOISE_FLOOR
        taps[1:] = -solve_toeplitz(correlation[:-1], correlation[1:])
    return taps
