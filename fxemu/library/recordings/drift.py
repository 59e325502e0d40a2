"""Delay and drift of a recording: the line of delay over time near most blocks, and whether its slope is beyond doubt.

Shapes: K blocks or places.
"""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft

from fxemu.library.recordings.response import Starts

Array = NDArray[np.float64]
COARSE_BLOCKS, COARSE_SAMPLES, DECIMATIONS = 16, 65_536, (1, 8)  # a strong drift smears less at a low rate
LEAD_SAMPLES = 100_000  # by which wet may come first, and by which it may be late beyond what it lasts longer
NEAR = 64  # samples off the line of a block that fits
MOST_DRIFT_PPM, LEVEL_FIRST = 2000, 0.8  # share of its score that a tilted line keeps
PARTS, LEAST_DRIFT_SAMPLES = 3, 0.5  # that must each show a drift; drift over the whole recording that matters
ON_LINE, LEAST_ON_LINE = 3, 0.75  # samples off a drift's line at which a block shows it; share of the blocks that must
SURE, ALIKE = 5, 0.3  # standard errors by which each part must show it; share by which they may differ


def coarse_line(drive_of_dry: tuple[Array, ...], wet: Array, starts: Starts) -> tuple[float, float]:
    """Delay and slope to some samples, from the places in wet of long blocks of dry's drives.

    A song repeats itself, so some blocks are found at a wrong place, however far off. Of the lines through any two
    places, or level through one, the line that is near most places is taken, and fitted again to those.
    """
    picks = np.unique(starts[np.linspace(0, starts.size - 1, COARSE_BLOCKS).astype(int)])
    places = [_places(drive, wet, picks, step) for drive in drive_of_dry for step in DECIMATIONS]
    t, d = np.concatenate(places).T
    lines = []
    for i, j in combinations_with_replacement(range(len(t)), 2):
        slope = (d[j] - d[i]) / (t[j] - t[i]) if t[i] != t[j] else 0.0
        if (i == j or slope) and abs(slope) < MOST_DRIFT_PPM * 1e-6:
            lines.append((d[i] - slope * t[i], slope))
    off = np.array([np.abs(d - delay - slope * t) for delay, slope in lines])
    tilted = np.array([slope != 0 for _, slope in lines])
    score = (1 / (1 + (off / 16) ** 2)).sum(1) * np.where(tilted, LEVEL_FIRST, 1)
    best = int(score.argmax())
    near = off[best] < NEAR
    return robust_line(t[near], d[near]) if lines[best][1] else (float(np.median(d[near])), 0.0)


def _places(drive: Array, wet: Array, picks: Starts, step: int) -> list[tuple[float, float]]:
    """The middle of each block of dry, and the delay at which wet is most like it, at a `step`th of the rate."""
    low, low_wet = (s[: s.size // step * step].reshape(-1, step).mean(1) for s in (drive, wet))
    block, lead = min(COARSE_SAMPLES // step, low.size), LEAD_SAMPLES // step
    longer = max(0, low_wet.size - low.size)
    found = []
    for pick in np.unique(np.minimum(picks // step, low.size - block)):
        first = max(0, pick - lead)
        stretch = low_wet[first : pick + block + longer + lead]
        size = next_fast_len(stretch.size + block, real=True)
        curve = np.abs(irfft(rfft(stretch, size) * rfft(low[pick : pick + block], size).conj(), size))
        lag = int(curve.argmax())
        found.append(
            ((pick + block / 2) * step, float((lag if lag < stretch.size else lag - size) + first - pick) * step)
        )
    return found


def slant_stack(curves: Array, t: Array) -> tuple[float, float, float]:
    """The largest sum of correlations (K, lags) along a line, and its intercept and slope, in lags from the middle."""
    middle, width = t.mean(), curves.shape[1]
    span = max(np.abs(t - middle).max(), 1.0)
    best = (0.0, 0.0, 0.0)
    for tilt in range(-(width // 4), width // 4 + 1):
        shift = np.round(tilt * (t - middle) / span).astype(int)[:, None]
        columns = np.arange(width) + shift
        inside = (columns >= 0) & (columns < width)
        total = np.abs(np.where(inside, curves[np.arange(len(t))[:, None], columns % width], 0).sum(0))
        top = int(total.argmax())
        height = float(total[top]) * (LEVEL_FIRST if tilt else 1)
        if height > best[0]:
            best = (height, float(top - width // 2), tilt / span)
    return best[0], best[1] - best[2] * middle, best[2]


def robust_line(t: Array, d: Array) -> tuple[float, float]:
    """Intercept and slope of d (K,) over t (K,), by least squares reweighted so that outliers count little."""
    weight = np.ones(t.size)
    for _ in range(30):
        mean_t, mean_d = np.average(t, weights=weight), np.average(d, weights=weight)
        spread = np.average((t - mean_t) ** 2, weights=weight)
        slope = np.average((t - mean_t) * (d - mean_d), weights=weight) / spread if spread else 0.0
        residual = np.abs(d - mean_d - slope * (t - mean_t))
        scale = max(1.5 * float(np.median(residual)), 1e-3)
        weight = 1 / (1 + (residual / (2 * scale)) ** 2) ** 2 + 1e-12
    return float(mean_d - slope * mean_t), float(slope)


def beyond_doubt(t: Array, d: Array, delay: float, slope: float) -> bool:
    """Whether delays d (K,) at t (K,) show the slope in each part of the recording alike, and enough to matter."""
    near = np.abs(d - delay - slope * t) < ON_LINE
    if near.mean() < LEAST_ON_LINE:
        return False
    t, d = t[near], d[near]
    if t.size < 2 * PARTS or abs(slope) * np.ptp(t) < LEAST_DRIFT_SAMPLES:
        return False
    parts = np.array_split(np.argsort(t), PARTS)
    middles = np.array([np.median(t[part]) for part in parts])
    levels = np.array([np.median(d[part] - slope * (t[part] - np.median(t[part]))) for part in parts])
    errors = [1.4826 * _deviation(d[part] - slope * t[part]) / np.sqrt(part.size) for part in parts]
    rises, runs = np.diff(levels), np.diff(middles)
    sure = np.abs(rises) > SURE * np.hypot(errors[1:], errors[:-1])
    alike = np.abs(rises - slope * runs) < ALIKE * np.abs(slope * runs)
    return bool((sure & alike).all())


def _deviation(d: Array) -> float:
    """The median distance from the median."""
    return float(np.median(np.abs(d - np.median(d))))
