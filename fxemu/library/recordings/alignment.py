"""Where a recorded wet lies in time against its dry: latency to a fraction of a sample, clock drift, polarity.

The recording is modelled as wet[delay + n (1 + drift)] = polarity * effect(dry)[n]. Windows are compared by their
cross-spectrum, weighted by coherence (Knapp and Carter 1976: the generalised correlation), so that neither noise nor
what a fuzz adds counts for much. The phase that goes with the effect's magnitude response in a filter of minimum
phase is taken out first: a tone control's delay is part of the effect and is left to the model.

Shapes: N samples, W samples of a window, F = W / 2 + 1 frequencies, K windows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations_with_replacement, product

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from fxemu.library.recordings.onset import arrival

Array = NDArray[np.float64]
Spectra = NDArray[np.complex128]
WINDOW = 16_384  # samples; 100 ppm of drift move a signal by 1.6 samples within it
MOST_WINDOWS = 300
COARSE, COARSE_BLOCKS = 8, 16  # decimation and number of blocks of the first search
MOST_DRIFT_PPM, SMEARED_PPM = 2000, 50
JUMP_REACH, JUMP_GROUP = 2048, 8  # samples within which a step of the delay is looked for, and windows at a time
FINER = 8  # correlations are read at an eighth of a sample, and between by a parabola
STACK_REACHES, PEAK_REACH = (64, 16), 4  # samples around the line that each pass of the search looks at
BINS, REFINEMENTS = 256, 2  # levels of a fuzz's curve; passes of the last search
TAPS, KAISER_BETA, PHASES = 64, 9.0, 512  # of the interpolating sinc: 90 dB down, flat to 0.9 of Nyquist


@dataclass(frozen=True)
class Alignment:
    """How wet lies against dry.

    delay_samples: latency at the first sample of dry, in samples; negative where wet comes first.
    drift_ppm: by how much the recorder's clock runs fast.
    polarity: 1, or -1 where wet is upside down.
    strength: 0 to 1: how far the windows of the cross-spectrum agree on one delay; noise alone reaches about 0.05.
    coherence: 0 to 1: the share of wet's energy that a linear filter of dry explains.
    jump_samples, jump_at: a lasting step of the delay off its line (0 for none), and the sample of dry where it comes.
    error_samples: standard error of the delay: dull, short or noisy music tells it less well.
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
    starts = _recorded(starts, coarse, slope, y.size)
    centres, delay = starts + WINDOW / 2, coarse
    for reach in STACK_REACHES:
        dries, wets = _windows(x, y, starts, delay + slope * centres)
        stacks = [
            _slant_stack(_correlations(_whitened(dries, wets) * w, reach), centres) for w in _weights(dries, wets)
        ]
        # A filter's phase, once turned back, makes the peak sharper; a fuzz has no such phase, and it gets blunter.
        filtered = stacks[1][0] > stacks[0][0]
        delay, slope = delay + stacks[filtered][1], slope + stacks[filtered][2]
    line = delay + slope * centres
    dries, wets = _windows(x, y, starts, line)
    offsets, heights = _peaks(_correlations(_whitened(dries, wets) * _weights(dries, wets)[filtered], PEAK_REACH))
    delay, slope, error = _refined(x, y, starts, *_robust_line(centres, line + offsets, np.abs(heights))[:2])
    jump, place = _jump(x, y, starts, coarse)
    strength, polarity = float(np.median(np.abs(heights))), 1 if heights.sum() >= 0 else -1
    coherence = _coherence_of_wet(dries, wets)
    return Alignment(delay, slope * 1e6, polarity, strength, coherence, jump, int(centres[place]), error)


def _loud_starts(x: Array) -> NDArray[np.int64]:
    """Where windows begin: every half window, less those 40 dB below the loudest, thinned to MOST_WINDOWS."""
    starts = np.arange(0, x.size - WINDOW + 1, WINDOW // 2)
    power = np.array([np.mean(x[s : s + WINDOW] ** 2) for s in starts])
    loud = starts[power > 1e-4 * power.max()]
    return loud[np.linspace(0, loud.size - 1, min(loud.size, MOST_WINDOWS)).astype(int)]


def _recorded(starts: NDArray[np.int64], delay: float, slope: float, samples: int) -> NDArray[np.int64]:
    """Those whose windows lie within wet's samples; all, where none does and nothing fits."""
    first = starts + delay + slope * starts
    inside = (first >= 0) & (first + WINDOW <= samples)
    return starts[inside] if inside.any() else starts


def _coarse_line(x: Array, y: Array, starts: NDArray[np.int64]) -> tuple[float, float]:
    """Delay and slope to some 10 samples: blocks of dry are sought in all of wet, and most of them agree on a line.

    A song repeats itself, so some blocks are found in the wrong place, however far off. Of the lines through any two,
    or level through one, the one that most are near is taken, and drawn anew through all of these.
    """
    low_x, low_y = (s[: s.size // COARSE * COARSE].reshape(-1, COARSE).mean(1) for s in (x, y))
    block = min(WINDOW, low_x.size)
    size = 1 << (low_y.size + block).bit_length()
    whole = _phase(np.fft.rfft(low_y, size))
    picks = starts[np.linspace(0, starts.size - 1, COARSE_BLOCKS).astype(int)] // COARSE
    points = []
    for pick in np.unique(np.minimum(picks, low_x.size - block)):
        piece = _phase(np.fft.rfft(low_x[pick : pick + block], size))
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


def _phase(spectrum: Spectra) -> Spectra:
    return spectrum / (np.abs(spectrum) + 1e-12 * np.abs(spectrum).max() + 1e-300)


def _windows(x: Array, y: Array, starts: NDArray[np.int64], delays: Array) -> tuple[Spectra, Spectra]:
    """Spectra (K, F) of dry's windows, and of wet's at those delays: the fraction of a sample is undone as a phase."""
    hann = np.hanning(WINDOW + 1)[:-1]
    whole = np.round(delays).astype(int)
    before = max(0, -int((starts + whole).min()))
    after = max(0, int((starts + whole).max()) + WINDOW - y.size)
    y = np.pad(y, (before, after))
    dries = np.stack([hann * x[s : s + WINDOW] for s in starts])
    wets = np.stack([hann * y[s : s + WINDOW] for s in starts + whole + before])
    turn = np.exp(2j * np.pi / WINDOW * np.outer(delays - whole, np.arange(WINDOW // 2 + 1)))
    return np.fft.rfft(dries), np.fft.rfft(wets) * turn


def _whitened(dries: Spectra, wets: Spectra) -> Spectra:
    """Cross-spectra (K, F) of windows, all frequencies made equally strong over the windows as a whole."""
    cross = dries.conj() * wets
    return cross / (np.sqrt(_smooth((np.abs(cross) ** 2).mean(0))) + 1e-300)


def _weights(dries: Spectra, wets: Spectra) -> tuple[Array, Spectra]:
    """(F,): coherence / (1 - coherence), the weight of least variance; and that with the minimum phase turned back."""
    coherence, gain = _coherence(dries, wets)
    weight = np.minimum(coherence / (1 - coherence), 100)
    weight[: WINDOW // 2000] = 0  # below 22 Hz there is hum, drift of DC, and no delay to read
    return weight, weight * _phase(_tone(coherence, gain)).conj()


def _coherence(dries: Spectra, wets: Spectra) -> tuple[Array, Array]:
    """(F,) squared coherence over the windows, free of its bias, and the gain |H| of the best linear filter."""
    power, other = (_smooth((np.abs(s) ** 2).mean(0)) + 1e-300 for s in (dries, wets))
    cross = (dries.conj() * wets).mean(0)
    cross = np.abs(_smooth(cross.real) + 1j * _smooth(cross.imag))
    bias = 1 / (len(dries) / 2 + 1)
    coherence = np.clip((cross**2 / (power * other) - bias) / (1 - bias), 0, 1 - 1e-4)
    return coherence, cross / power


def _coherence_of_wet(dries: Spectra, wets: Spectra) -> float:
    power = (np.abs(wets) ** 2).mean(0)
    return float((_coherence(dries, wets)[0] * power).sum() / (power.sum() + 1e-300))


def _smooth(values: Array, width: int = 9) -> Array:
    kernel = np.hanning(width + 2)[1:-1]
    return np.convolve(np.pad(values, width // 2, mode="edge"), kernel / kernel.sum(), "valid")


def _tone(coherence: Array, gain: Array) -> Spectra:
    """(F,) filter of minimum phase with the gain in thirds of an octave."""
    log_gain = _log_gain(coherence, gain)
    return np.exp(log_gain + 1j * _minimum_phase(log_gain))


def _log_gain(coherence: Array, gain: Array) -> Array:
    """(F,) log gain in thirds of an octave; where dry says nothing of wet, the last slope goes on."""
    log_f = np.log2(np.arange(1, gain.size))
    band = np.round(3 * log_f).astype(int)
    weight = np.bincount(band, coherence[1:] * (coherence[1:] > 0.2))
    known = np.flatnonzero(weight > 0.1 * np.bincount(band))
    if known.size < 4:
        return np.zeros(gain.size)
    total = np.bincount(band, coherence[1:] * (coherence[1:] > 0.2) * np.log(gain[1:] + 1e-300))
    level = total[known] / weight[known]
    log_gain = np.interp(3 * log_f, known, level)
    # In log gain a third of an octave: a filter falls by up to 24 dB an octave, and none goes on rising.
    slope = np.clip((level[-1] - level[-4]) / (known[-1] - known[-4]), -24 / 20 * np.log(10) / 3, 0)
    log_gain += slope * np.maximum(0, 3 * log_f - known[-1])
    return np.concatenate((log_gain[:1], log_gain))


def _minimum_phase(log_gain: Array) -> Array:
    """(F,) phase in radians of the minimum-phase filter with this log gain: the Hilbert transform, by the cepstrum."""
    cepstrum = np.fft.irfft(log_gain)
    cepstrum[1 : WINDOW // 2] *= 2
    cepstrum[WINDOW // 2 + 1 :] = 0
    return np.fft.rfft(cepstrum).imag


def _correlations(cross: Spectra, reach: int) -> Array:
    """Correlations (K, 2 * FINER * reach + 1) from -reach to reach samples, 1 where all frequencies agree."""
    size = FINER * WINDOW
    lags = np.arange(-reach * FINER, reach * FINER + 1)
    curves = [np.fft.irfft(row, size)[lags] * size / 2 / (np.abs(row).sum() + 1e-300) for row in cross]
    return np.stack(curves)


def _slant_stack(curves: Array, t: Array) -> tuple[float, float, float]:
    """The most that the windows' correlations add up to along a line, and the line's intercept and slope."""
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


def _peaks(curves: Array) -> tuple[Array, Array]:
    """Lags (K,) in samples at which the correlations peak, and their heights; 0 for those that peak at an end."""
    offsets, heights = np.zeros(len(curves)), np.zeros(len(curves))
    for k, curve in enumerate(curves):
        top = int(np.abs(curve).argmax())
        if 0 < top < curve.size - 1:
            left, middle, right = np.abs(curve[top - 1 : top + 2])
            offsets[k] = (top - curve.size // 2 + 0.5 * (left - right) / (left - 2 * middle + right)) / FINER
            heights[k] = curve[top]
    return offsets, heights


def _robust_line(t: Array, d: Array, weight: Array) -> tuple[float, float, float]:
    """Intercept and slope of d over t, and the standard error that the slope gives the intercept.

    By least squares, again and again with less weight to what lies far off.
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
    """The line to hundredths of a sample, and the delay's standard error: read off all windows' cross-spectra together.

    For the slope the phase that all windows share is taken out, be it a reverb's or a filter's: what is left is how
    far each is off the line. The delay is where their sum sets in, of dry or of dry bent as a fuzz bends it.
    """
    centres = starts + WINDOW / 2
    bent = _bent(x, _resample(y, delay, 1 + slope, x.size, _sinc_table()))
    tops = [_stacked(signal, y, starts, delay + slope * centres)[1:] for signal in (x, bent)]
    signal, filtered = max(product(range(2), range(2)), key=lambda choice: tops[choice[0]][choice[1]][1])
    for _ in range(REFINEMENTS):
        line = delay + slope * centres
        cross, *tops = _stacked((x, bent)[signal], y, starts, line)
        offsets, heights = _peaks(_correlations(cross * _phase(cross.sum(0)).conj(), PEAK_REACH))
        delay, slope, tilt = _robust_line(centres, line + offsets + tops[filtered][0], np.abs(heights))
    straight = _resample(y, delay, 1 + slope, x.size, _sinc_table())
    dries, wets = _windows((x, bent)[signal], y, starts, delay + slope * centres)
    shape = _tone(*_coherence(dries, wets)) if filtered else np.ones(2, complex)
    offset, error = arrival((x, bent)[signal], straight, shape)
    return delay + offset, slope, float(np.hypot(error, tilt))


def _stacked(
    x: Array, y: Array, starts: NDArray[np.int64], line: Array
) -> tuple[Spectra, tuple[float, float], tuple[float, float]]:
    """Weighted cross-spectra (K, F), and lag and height of their sum's peak: plain, and less the minimum phase."""
    dries, wets = _windows(x, y, starts, line)
    whitened = _whitened(dries, wets)
    plain, filtered = _weights(dries, wets)
    peaks = (_peaks(_correlations((whitened * w).sum(0)[None], PEAK_REACH)) for w in (plain, filtered))
    return whitened * plain, *((float(lag[0]), abs(float(height[0]))) for lag, height in peaks)


def _bent(x: Array, y: Array) -> Array:
    """x (N,) with each value replaced by the mean of y (N,) where x is near it, between BINS levels by straight lines.

    A fuzz without memory is undone by this, so that nothing but the noise is left between x and y.
    """
    edges = np.unique(np.quantile(x, np.linspace(0, 1, BINS + 1)))
    place = np.clip(np.searchsorted(edges, x, "right") - 1, 0, max(edges.size - 2, 0))
    count = np.bincount(place).clip(min=1)
    return np.interp(x, np.bincount(place, x) / count, np.bincount(place, y) / count)


def _jump(x: Array, y: Array, starts: NDArray[np.int64], delay: float) -> tuple[float, int]:
    """By how much the delay steps, and before which window; 0 unless two delays explain the song far better than one.

    Eight windows together give a delay that hardly errs; drift makes these delays rise evenly, lost samples once.
    """
    groups = [starts[k : k + JUMP_GROUP] for k in range(0, len(starts) - JUMP_GROUP + 1, JUMP_GROUP)]
    if len(groups) < 4:
        return 0.0, 0
    windows = (_windows(x, y, group, np.full(JUMP_GROUP, delay)) for group in groups)
    curves = np.stack([np.abs(_correlations(_whitened(*pair), JUMP_REACH).sum(0)) for pair in windows])
    tops = (curves.argmax(1) - JUMP_REACH * FINER) / FINER
    drift = np.median(np.diff(tops)) * np.arange(len(tops))
    d = tops - drift
    costs = [_deviation(d[:k]) + _deviation(d[k:]) for k in range(1, len(d))]
    best = int(np.argmin(costs)) + 1
    before, after = np.median(d[:best]), np.median(d[best:])
    found = min(costs) < 0.3 * _deviation(d) and min(costs) < 2 * len(d) < 0.5 * abs(after - before) * len(d)
    elsewhere = drift + np.where(np.arange(len(d)) < best, after, before)
    # A chord's period is as good a delay as its own: on both sides of a jump the other side's delay must be a bad one.
    likeness = _likeness(curves, elsewhere) if found else np.ones(len(d))
    clear = max(np.median(likeness[:best]), np.median(likeness[best:])) < 0.7
    return (float(after - before), best * JUMP_GROUP) if clear else (0.0, 0)


def _likeness(curves: Array, lags: Array) -> Array:
    """(K,) how high the correlations (K, 2 * FINER * JUMP_REACH + 1) are near these lags (K,), of their peaks."""
    places = np.round((lags + JUMP_REACH) * FINER).astype(int)[:, None] + np.arange(-FINER, FINER + 1)
    there = np.take_along_axis(curves, places.clip(0, curves.shape[1] - 1), 1).max(1)
    return there / curves.max(1)


def _deviation(d: Array) -> float:
    return float(np.minimum(np.abs(d - np.median(d)), 16).sum())


def correct(wet: Tensor, alignment: Alignment, samples: int, flip: bool = False) -> Tensor:
    """Wet (M,) as it would be without latency and drift: float32 (samples,), zero where nothing was recorded.

    Args:
        wet: the recording.
        alignment: as `align` found it.
        samples: length of the dry signal.
        flip: turn a wet that is upside down the right way up; else its polarity is kept.
    """
    aligned = _resample(
        wet.detach().cpu().numpy().astype(np.float64),
        alignment.delay_samples,
        1 + alignment.drift_ppm * 1e-6,
        samples,
        _sinc_table(),
    )
    return torch.from_numpy(aligned.astype(np.float32)) * (alignment.polarity if flip else 1)


def _sinc_table() -> Array:
    """(PHASES + 1, TAPS): a Kaiser-windowed sinc at each fraction of a sample."""
    t = np.arange(TAPS) - TAPS // 2 + 1 - np.arange(PHASES + 1)[:, None] / PHASES
    window = np.i0(KAISER_BETA * np.sqrt(np.clip(1 - (2 * t / TAPS) ** 2, 0, 1))) / np.i0(KAISER_BETA)
    return np.sinc(t) * window


@njit(cache=True)
def _resample(signal: Array, first: float, step: float, samples: int, table: Array) -> Array:  # pragma: no cover
    """signal[first + n step] for n < samples, between table phases by a straight line."""
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
