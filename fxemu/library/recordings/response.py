"""Response of wet's innovations to dry's: correlated block by block, and the lag at which it begins.

A rectifier turns dry's negative half over, so each response is computed to dry's innovations and to these times
the sign of dry; the clearer one counts.

Shapes: N samples, K blocks of dry, L lags.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

from fxemu.library.recordings.innovations import innovations

Array = NDArray[np.float64]
Starts = NDArray[np.int64]
BLOCK = 16_384  # samples; 100 ppm of drift move a signal by 1.6 samples within it
SLOW = 110  # samples of the mean that is taken off dry for its sign, as the filter before a rectifier does
QUIETEST = 1e-4  # power of the quietest block, as a share of the loudest
MOST_BLOCKS = 300
REACH = 96  # lags on either side in a response
LATEST_BEFORE = 32  # samples before the expected lag at which an onset is searched, and at which noise ends
NEAR = (8, 32)  # samples before and after the expected lag in which two signals that depend respond
ALIKE = 8  # samples by which the onsets of mean and median may differ for both to count
RISEN = 0.5  # share of its peak at which a response has begun
MARGIN, LONGEST_RISE = 2, 1  # samples left to the model, and the most that a slow rise adds to them


class Drives(NamedTuple):
    """Signals that may drive wet: dry's innovations (N,), and these times the sign of dry less its slow part."""

    plain: Array
    rectified: Array


def drives_of(x: Array) -> Drives:
    """The drives of dry x (N,)."""
    plain = innovations(x)
    return Drives(plain, plain * np.sign(x - lfilter(np.full(SLOW, 1 / SLOW), [1.0], x)))


def loud_starts(x: Array) -> Starts:
    """Starts of blocks every half block, less those 40 dB below the loudest, thinned to MOST_BLOCKS."""
    starts = np.arange(0, x.size - BLOCK + 1, BLOCK // 2)
    power = np.array([np.mean(x[s : s + BLOCK] ** 2) for s in starts])
    loud = starts[power > QUIETEST * power.max()]
    return loud[np.linspace(0, loud.size - 1, min(loud.size, MOST_BLOCKS)).astype(int)]


def correlations(drive: Array, wet: Array, starts: Starts, delays: Starts, reach: int) -> Array:
    """Correlation of each block with wet at lags from -reach to reach about its delay: (K, 2 reach + 1)."""
    size = 1 << int(np.ceil(np.log2(BLOCK + 2 * reach)))
    firsts = starts + delays - reach
    before = max(0, -int(firsts.min()))
    after = max(0, int(firsts.max()) + BLOCK + 2 * reach - wet.size)
    wet = np.pad(wet, (before, after))
    curves = []
    for start, first in zip(starts, firsts + before, strict=True):
        dry_spectrum = np.fft.rfft(drive[start : start + BLOCK], size)
        wet_spectrum = np.fft.rfft(wet[first : first + BLOCK + 2 * reach], size)
        curves.append(np.fft.irfft(wet_spectrum * dry_spectrum.conj(), size)[: 2 * reach + 1] / BLOCK)
    return np.stack(curves)


def responses(drive: Array, wet: Array, starts: Starts, delays: Starts) -> Array:
    """Taps at lags from -REACH to REACH of the filter that leads from each block to wet, in the least squares."""
    curves = correlations(drive, wet, starts, delays, REACH)
    own = correlations(drive, drive, starts, np.zeros_like(starts), 2 * REACH).mean(0)[2 * REACH :]
    own[0] = own[0] * 1.001 + 1e-12
    return solve_toeplitz(own, curves.T).T


def dependence(blocks: Array) -> float:
    """Evidence that wet depends on dry in responses (K, 2 REACH + 1): how far blocks agree, and how clearly one begins.

    The geometric mean of two ratios: the energy of the mean response around lag 0, over that of a mean of responses
    that agree by chance; and the peak of the mean, over the noise well before it.
    """
    energies = np.sqrt(np.mean(blocks**2, 1, keepdims=True))
    near = (blocks / (energies + 1e-12))[:, REACH - NEAR[0] : REACH + NEAR[1] + 1]
    # Blocks overlap by half, so half as many are independent.
    chance = near.var(0).sum() / (len(blocks) / 2)
    agreement = (near.mean(0) ** 2).sum() / (chance + 1e-12)
    mean = np.abs(blocks.mean(0))
    noise = np.median(mean[: REACH - LATEST_BEFORE]) / 0.6745
    return float(np.sqrt(agreement * mean.max() / (noise + 1e-12)))


def onset(blocks: Array) -> int:
    """First lag at which the responses (K, 2 REACH + 1) have surely begun, less the margin that is left to the model.

    Notes that repeat leave precursors, in the mean over the blocks or in their median but hardly in both.
    """
    mean, median = _onset(np.mean(blocks, 0)), _onset(np.median(blocks, 0))
    return max(mean, median) if abs(mean - median) <= ALIKE else min(mean, median, key=abs)


def _onset(response: Array) -> int:
    height = np.abs(response)[REACH - LATEST_BEFORE :]
    first, peak = int((height >= RISEN * height.max()).argmax()), int(height.argmax())
    return first - LATEST_BEFORE - MARGIN - min(LONGEST_RISE, (peak - first) // 2)
