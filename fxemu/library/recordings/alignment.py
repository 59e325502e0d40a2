"""Alignment of a recorded wet with its dry: latency to a fraction of a sample, clock drift, polarity.

The recording is modelled as wet[delay + n (1 + drift)] = polarity * effect(dry)[n]. Windows are compared by their
cross-spectrum, weighted by coherence (generalised correlation, Knapp and Carter 1976), so that neither noise nor the
harmonics of a fuzz count for much. The phase that goes with the effect's magnitude response in a filter of minimum
phase is taken out first: a tone control's delay is part of the effect and is left to the model.

Shapes: N samples, W samples of a window, F = W / 2 + 1 frequencies, K windows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations_with_replacement, product

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from torch import Tensor

from fxemu.library.recordings.cross_spectra import (
    FINER,
    WINDOW,
    Array,
    Spectra,
    coherence_of_wet,
    correlation_peaks,
    correlations,
    delay_weights,
    minimum_phase_filter,
    phase_only,
    squared_coherence,
    whitened,
    window_spectra,
)
from fxemu.library.recordings.interpolation import resample
from fxemu.library.recordings.onset import onset

MOST_WINDOWS = 300
COARSE, COARSE_BLOCKS = 8, 16  # decimation and number of blocks of the first search
MOST_DRIFT_PPM, SMEARED_PPM = 2000, 50
JUMP_REACH, JUMP_GROUP = 2048, 8  # samples within which a step of the delay is searched, and windows taken together
STACK_REACHES, PEAK_REACH = (64, 16), 4  # samples around the line that each pass searches
BINS, REFINEMENTS = 256, 2  # levels of a fuzz's curve; passes of the last search


@dataclass(frozen=True)
class Alignment:
    """The place of wet in time against dry.

    delay_samples: latency at the first sample of dry, in samples; negative where wet comes first.
    drift_ppm: by how much the recorder's clock runs fast.
    polarity: 1, or -1 where wet is upside down.
    strength: 0 to 1: how far the windows of the cross-spectrum agree on one delay; noise alone reaches about 0.05.
    coherence: 0 to 1: the share of wet's energy that a linear filter of dry explains.
    jump_samples, jump_at: a lasting step of the delay off its line (0 for none), and the sample of dry where it comes.
    error_samples: standard error of the delay, which grows with dull, short or noisy music.
    """

    delay_samples: float
    drift_ppm: float
    polarity: int
    strength: float
    coherence: float
    jump_samples: float = 0.0
    jump_at: int = 0
    error_samples: float = 0.0


def align(dry: Tensor, wet: Tensor) -> Alignment:
    """Find delay, drift and polarity of wet (M,) against dry (N,), both at one sample rate.

    Raises:
        ValueError: where either has fewer than 32768 samples, or is silent throughout.
    """
    first = _align(dry, wet)
    if abs(first.drift_ppm) < SMEARED_PPM or first.jump_samples:
        return first
    # Strong drift smears a window: straighten once, align what is left, and add up.
    then = _align(dry, correct(wet, first, dry.numel()))
    rate = 1 + first.drift_ppm * 1e-6
    drift_ppm = (rate * (1 + then.drift_ppm * 1e-6) - 1) * 1e6
    return replace(then, delay_samples=first.delay_samples + then.delay_samples * rate, drift_ppm=drift_ppm)


def _align(dry: Tensor, wet: Tensor) -> Alignment:
    x, y = (signal.detach().cpu().numpy().astype(np.float64) for signal in (dry, wet))
    if min(x.size, y.size) < 2 * WINDOW:
        raise ValueError(f"{min(x.size, y.size)} samples are too few to align; at least {2 * WINDOW} are needed")
    if not (x.any() and y.any()):
        raise ValueError(f"{'wet' if x.any() else 'dry'} is silent: there is nothing to align")
    starts = _loud_starts(x)
    coarse, slope = _coarse_line(x, y, starts)
    starts = _within_recording(starts, coarse, slope, y.size)
    centres, delay = starts + WINDOW / 2, coarse
    for reach in STACK_REACHES:
        dries, wets = window_spectra(x, y, starts, delay + slope * centres)
        cross, weights = whitened(dries, wets), delay_weights(dries, wets)
        stacks = [_slant_stack(correlations(cross * weight, reach), centres) for weight in weights]
        # Removing a minimum phase sharpens the peak of a filter; that of a fuzz, which has none, gets blunter.
        filtered = stacks[1][0] > stacks[0][0]
        delay, slope = delay + stacks[filtered][1], slope + stacks[filtered][2]
    line = delay + slope * centres
    dries, wets = window_spectra(x, y, starts, line)
    cross, weight = whitened(dries, wets), delay_weights(dries, wets)[filtered]
    offsets, heights = correlation_peaks(correlations(cross * weight, PEAK_REACH))
    delay, slope, error = _refined(x, y, starts, *_robust_line(centres, line + offsets, np.abs(heights))[:2])
    jump, place = _jump(x, y, starts, coarse)
    strength, polarity = float(np.median(np.abs(heights))), 1 if heights.sum() >= 0 else -1
    coherence = coherence_of_wet(dries, wets)
    return Alignment(delay, slope * 1e6, polarity, strength, coherence, jump, int(centres[place]), error)


def _loud_starts(x: Array) -> NDArray[np.int64]:
    """Starts of windows: every half window, less those 40 dB below the loudest, thinned to MOST_WINDOWS."""
    starts = np.arange(0, x.size - WINDOW + 1, WINDOW // 2)
    power = np.array([np.mean(x[s : s + WINDOW] ** 2) for s in starts])
    loud = starts[power > 1e-4 * power.max()]
    return loud[np.linspace(0, loud.size - 1, min(loud.size, MOST_WINDOWS)).astype(int)]


def _within_recording(starts: NDArray[np.int64], delay: float, slope: float, samples: int) -> NDArray[np.int64]:
    """The starts whose windows lie within wet's samples; all of them if there is none."""
    first = starts + delay + slope * starts
    inside = (first >= 0) & (first + WINDOW <= samples)
    return starts[inside] if inside.any() else starts


def _coarse_line(x: Array, y: Array, starts: NDArray[np.int64]) -> tuple[float, float]:
    """Delay and slope to some 10 samples, from the places in wet of blocks of dry.

    A song repeats itself, so some blocks are found at a wrong place, however far off. Of the lines through any two
    places, or level through one, the line that is near most places is taken, and fitted again to those.
    """
    low_x, low_y = (s[: s.size // COARSE * COARSE].reshape(-1, COARSE).mean(1) for s in (x, y))
    block = min(WINDOW, low_x.size)
    size = next_fast_len(low_y.size + block, real=True)
    whole = phase_only(np.fft.rfft(low_y, size))
    picks = starts[np.linspace(0, starts.size - 1, COARSE_BLOCKS).astype(int)] // COARSE
    points = []
    for pick in np.unique(np.minimum(picks, low_x.size - block)):
        piece = phase_only(np.fft.rfft(low_x[pick : pick + block], size))
        lag = int(np.abs(np.fft.irfft(whole * piece.conj(), size)).argmax())
        points.append(((pick + block / 2) * COARSE, ((lag if lag < low_y.size else lag - size) - pick) * COARSE))
    t, d = np.array(points).T
    lines = []
    for i, j in combinations_with_replacement(range(len(t)), 2):
        slope = (d[j] - d[i]) / (t[j] - t[i]) if i < j else 0.0
        if abs(slope) < MOST_DRIFT_PPM * 1e-6:
            lines.append((d[i] - slope * t[i], slope))
    off = np.array([np.abs(d - delay - slope * t) for delay, slope in lines])
    near = off[(1 / (1 + (off / (2 * COARSE)) ** 2)).sum(1).argmax()] < 8 * COARSE
    return _robust_line(t[near], d[near], np.ones(int(near.sum())))[:2]


def _slant_stack(curves: Array, t: Array) -> tuple[float, float, float]:
    """The largest sum of the windows' correlations along a line, and that line's intercept and slope."""
    middle, width = t.mean(), curves.shape[1]
    span = max(np.abs(t - middle).max(), 1.0)
    best = (0.0, 0.0, 0.0)
    for tilt in range(-(width // 4), width // 4 + 1, FINER // 2):
        shift = np.round(tilt * (t - middle) / span).astype(int)[:, None]
        columns = np.arange(width) + shift
        inside = (columns >= 0) & (columns < width)
        total = np.abs(np.where(inside, curves[np.arange(len(t))[:, None], columns % width], 0).sum(0))
        top = int(total.argmax())
        if total[top] > best[0]:
            best = (float(total[top]), (top - width // 2) / FINER, tilt / FINER / span)
    return best[0], best[1] - best[2] * middle, best[2]


def _robust_line(t: Array, d: Array, weight: Array) -> tuple[float, float, float]:
    """Intercept and slope of d over t, and the standard error that the slope gives the intercept.

    By least squares, reweighted again and again so that outliers count little.
    """
    current = weight + 1e-12
    for _ in range(30):
        mean_t, mean_d = np.average(t, weights=current), np.average(d, weights=current)
        spread = np.average((t - mean_t) ** 2, weights=current)
        slope = np.average((t - mean_t) * (d - mean_d), weights=current) / spread if spread else 0.0
        residual = np.abs(d - mean_d - slope * (t - mean_t))
        scale = max(1.5 * float(np.median(residual[weight > 0])) if weight.any() else 0.0, 1e-3)
        pulls, current = current * (t - mean_t) * residual, weight / (1 + (residual / (2 * scale)) ** 2) ** 2 + 1e-12
    error = mean_t * np.sqrt((pulls**2).sum()) / (current.sum() * spread) if spread else 0.0
    return float(mean_d - slope * mean_t), float(slope), float(error)


def _refined(x: Array, y: Array, starts: NDArray[np.int64], delay: float, slope: float) -> tuple[float, float, float]:
    """Delay and slope to hundredths of a sample, and the delay's standard error, from all windows' cross-spectra.

    For the slope, the phase that all windows share is removed, be it a reverb's or a filter's, which leaves each one's
    offset from the line. The delay is the onset of their sum, with dry or with dry waveshaped to resemble wet.
    """
    centres = starts + WINDOW / 2
    bent = _waveshaped(x, resample(y, delay, 1 + slope, x.size))
    tops = [_summed_spectra(signal, y, starts, delay + slope * centres)[1:] for signal in (x, bent)]
    signal, filtered = max(product(range(2), range(2)), key=lambda choice: tops[choice[0]][choice[1]][1])
    for _ in range(REFINEMENTS):
        line = delay + slope * centres
        cross, *tops = _summed_spectra((x, bent)[signal], y, starts, line)
        offsets, heights = correlation_peaks(correlations(cross * phase_only(cross.sum(0)).conj(), PEAK_REACH))
        delay, slope, tilt = _robust_line(centres, line + offsets + tops[filtered][0], np.abs(heights))
    straight = resample(y, delay, 1 + slope, x.size)
    dries, wets = window_spectra((x, bent)[signal], y, starts, delay + slope * centres)
    shape = minimum_phase_filter(*squared_coherence(dries, wets)) if filtered else np.ones(2, complex)
    offset, error = onset((x, bent)[signal], straight, shape)
    return delay + offset, slope, float(np.hypot(error, tilt))


def _summed_spectra(
    x: Array, y: Array, starts: NDArray[np.int64], line: Array
) -> tuple[Spectra, tuple[float, float], tuple[float, float]]:
    """Weighted cross-spectra (K, F), and lag and height of their sum's peak: plain, and without the minimum phase."""
    dries, wets = window_spectra(x, y, starts, line)
    cross = whitened(dries, wets)
    plain, filtered = delay_weights(dries, wets)
    peaks = (correlation_peaks(correlations((cross * w).sum(0)[None], PEAK_REACH)) for w in (plain, filtered))
    return cross * plain, *((float(lag[0]), abs(float(height[0]))) for lag, height in peaks)


def _waveshaped(x: Array, y: Array) -> Array:
    """x (N,) through the static curve that best maps it to y (N,): of BINS levels, linear between them.

    For a fuzz without memory this leaves nothing but noise between the two.
    """
    edges = np.unique(np.quantile(x, np.linspace(0, 1, BINS + 1)))
    place = np.clip(np.searchsorted(edges, x, "right") - 1, 0, max(edges.size - 2, 0))
    count = np.bincount(place).clip(min=1)
    return np.interp(x, np.bincount(place, x) / count, np.bincount(place, y) / count)


def _jump(x: Array, y: Array, starts: NDArray[np.int64], delay: float) -> tuple[float, int]:
    """The step of the delay in samples, and the window after it; 0 unless two delays fit the song far better than one.

    Eight windows together give a delay that hardly errs; drift makes these delays rise evenly, lost samples once.
    """
    groups = [starts[k : k + JUMP_GROUP] for k in range(0, len(starts) - JUMP_GROUP + 1, JUMP_GROUP)]
    if len(groups) < 4:
        return 0.0, 0
    windows = (window_spectra(x, y, group, np.full(JUMP_GROUP, delay)) for group in groups)
    curves = np.stack([np.abs(correlations(whitened(*pair), JUMP_REACH).sum(0)) for pair in windows])
    tops = (curves.argmax(1) - JUMP_REACH * FINER) / FINER
    drift = np.median(np.diff(tops)) * np.arange(len(tops))
    d = tops - drift
    costs = [_deviation(d[:k]) + _deviation(d[k:]) for k in range(1, len(d))]
    best = int(np.argmin(costs)) + 1
    before, after = np.median(d[:best]), np.median(d[best:])
    found = min(costs) < 0.3 * _deviation(d) and min(costs) < 2 * len(d) < 0.5 * abs(after - before) * len(d)
    elsewhere = drift + np.where(np.arange(len(d)) < best, after, before)
    # A chord's period is as good a delay as its own: on both sides of a jump the other side's delay must be a bad one.
    likeness = _relative_heights(curves, elsewhere) if found else np.ones(len(d))
    clear = max(np.median(likeness[:best]), np.median(likeness[best:])) < 0.7
    return (float(after - before), best * JUMP_GROUP) if clear else (0.0, 0)


def _relative_heights(curves: Array, lags: Array) -> Array:
    """Correlations (K, 2 * FINER * JUMP_REACH + 1) near lags (K,), as shares of their peaks: (K,)."""
    places = np.round((lags + JUMP_REACH) * FINER).astype(int)[:, None] + np.arange(-FINER, FINER + 1)
    there = np.take_along_axis(curves, places.clip(0, curves.shape[1] - 1), 1).max(1)
    return there / curves.max(1)


def _deviation(d: Array) -> float:
    """The sum of distances from the median, each at most 16 samples."""
    return float(np.minimum(np.abs(d - np.median(d)), 16).sum())


def correct(wet: Tensor, alignment: Alignment, samples: int, flip: bool = False) -> Tensor:
    """Remove latency and drift from wet (M,): float32 (samples,), zero where nothing was recorded.

    Args:
        wet: the recording.
        alignment: as `align` found it.
        samples: length of the dry signal.
        flip: undo an inverted polarity; else it is kept.
    """
    aligned = resample(
        wet.detach().cpu().numpy().astype(np.float64),
        alignment.delay_samples,
        1 + alignment.drift_ppm * 1e-6,
        samples,
    )
    return torch.from_numpy(aligned.astype(np.float32)) * (alignment.polarity if flip else 1)
