"""A fixed filter in words: where it cuts, its peaks, its echoes and the decay of its tail.

Shapes: T samples, N taps, B bands of a twelfth of an octave.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import find_peaks
from torch import Tensor
from torch.nn import functional as F

from fxemu.evaluation.diagnosis.explanation import Explanation, in_hz, share_db, share_left
from fxemu.models.fits.echoes import EARLIEST, echo_peaks
from fxemu.models.fits.fir import filtered, fit_filter, fit_filters

Array = NDArray[np.float64]
SHORT, LONG_S, ITERATIONS = 2048, 1.5, 15  # taps, seconds, conjugate gradient steps
LINEAR = 1e-7  # share left by a filter that needs no tail
LOWEST_HZ, A_BAND = 25.0, 2 ** (1 / 12)
QUIETEST_DB = -50.0  # bands in which dry has less, against its loudest band, say nothing
STEEP, FAR_DB, END_BANDS = 2.0, 9.0, 18  # dB an octave and dB by which an end falls, and its bands
CUT_DB = 3.0  # by which a cut is down
PROMINENT_DB, MOST_PEAKS, SHELF_DB = 3.0, 3, 2.0
TAIL_WORTH = 0.5  # a tail matters that makes what is left at least that much smaller
ECHO_WIDTH_S, MOST_ECHOES, ECHO_SHARE = 0.002, 6, 0.5  # of the tail's energy lies in a few echoes, or it is a reverb
DECAY_BLOCK_S, ABOVE_FLOOR_DB = 0.02, 8.0


def short_filter(dry: Tensor, wet: Tensor) -> Tensor:
    """The best filter (SHORT,), float64."""
    return fit_filters([(dry[None], wet)], SHORT)[0]


def explain_by_filter(dry: Tensor, wet: Tensor, sample_rate: int) -> Explanation:
    """The best fixed filter, with its tail where that matters."""
    short = short_filter(dry, wet)
    by_short, skip = filtered(dry, short), skipped(dry, sample_rate)
    left = share_left(by_short, wet, skip)
    gain = {"gain_db": share_db(float(by_short.square().sum() / dry.square().sum()))}
    tail = explain_by_tail(dry, wet, sample_rate) if left > LINEAR else None
    # Of so many taps a share fits what is but noise.
    if tail is not None and tail.unexplained < TAIL_WORTH * left * (1 - skip / dry.numel()):
        return replace(tail, figures=gain | tail.figures)
    words, figures = response_words(short, dry, sample_rate)
    return Explanation("filter", words, left, gain | figures, by_short)


def skipped(dry: Tensor, sample_rate: int) -> int:
    """Samples at the start of an excerpt that may follow from what was before."""
    return min(round(LONG_S * sample_rate), dry.numel() // 4)


def explain_by_tail(dry: Tensor, wet: Tensor, sample_rate: int) -> Explanation | None:
    """Echoes or a reverb: the best filter of LONG_S; None if it has no tail."""
    taps = skipped(dry, sample_rate)
    if taps < 4 * EARLIEST:
        return None
    response = fit_filter([(dry, wet)], taps, ITERATIONS, taps)
    by_long = filtered(dry, response)
    left, width = share_left(by_long, wet, taps), round(ECHO_WIDTH_S * sample_rate)
    early, figures = response_words(response[:EARLIEST], dry, sample_rate)
    besides = "" if early == FLAT else f" and {early}"
    tail = _sounding(response, dry)
    tail[:EARLIEST] = 0
    peaks = [peak for peak in echo_peaks(tail, MOST_ECHOES, width) if peak < taps - width]
    near = torch.zeros_like(tail, dtype=torch.bool)
    for peak in peaks:
        near[max(0, peak - width) : peak + width] = True
    if peaks and float(tail[near].square().sum()) > ECHO_SHARE * float(tail.square().sum()):
        loudest = max(float(tail[peak].abs()) for peak in peaks)
        delays_ms = sorted(1000 * peak / sample_rate for peak in peaks if tail[peak].abs() > 0.1 * loudest)
        several = " ms, ".join(f"{delay:.0f}" for delay in delays_ms[:4])
        words = f"an echo after {several} ms" if len(delays_ms) == 1 else f"echoes after {several} ms"
        return Explanation("echo", words + besides, left, figures | {"echo_ms": delays_ms[0]}, by_long)
    decay_s = decay_of(tail[EARLIEST:], sample_rate)
    if decay_s is None:
        return None
    return Explanation("reverb", f"a reverb of {decay_s:.1f} s{besides}", left, figures | {"decay_s": decay_s}, by_long)


def _sounding(response: Tensor, dry: Tensor, size: int = 4096) -> Tensor:
    """A response (N,) without the frequencies that dry hardly has."""
    frames = dry.unfold(0, size, size // 2) * torch.hann_window(size, dtype=dry.dtype)
    power = torch.fft.rfft(frames).abs().square().mean(0)
    kept = torch.fft.irfft(power / (power + 10 ** (QUIETEST_DB / 10) * power.max()))
    # Linear phase, so that it moves nothing.
    kernel = torch.roll(kept, size // 2)
    return filtered(F.pad(response, (0, size // 2)), kernel)[size // 2 :]


def decay_of(tail: Tensor, sample_rate: int) -> float | None:
    """Seconds in which a tail (N,) falls by 60 dB, by a line through its level above the noise; None if it does not."""
    size = round(DECAY_BLOCK_S * sample_rate)
    blocks = tail[: tail.numel() // size * size].view(-1, size).square().mean(1).clamp_min(1e-20)
    level_db = 10 * blocks.log10().numpy()
    floor = np.median(level_db[-len(level_db) // 10 :])
    start = int(level_db.argmax())
    above = level_db[start:] > min(floor + ABOVE_FLOOR_DB, level_db[start] - 10)
    end = len(above) if above.all() else int((~above).argmax())
    if end < 4:
        return None
    slope = np.polyfit(np.arange(end) * DECAY_BLOCK_S, level_db[start : start + end], 1)[0]
    return float(-60 / slope) if slope < -3 else None


def bands_hz(sample_rate: int) -> Array:
    """Centres of bands (B,)."""
    return LOWEST_HZ * A_BAND ** np.arange(int(np.log(0.45 * sample_rate / LOWEST_HZ) / np.log(A_BAND)))


def band_powers(x: Tensor, sample_rate: int, size: int = 1 << 15) -> Array:
    """Mean power by band (B,), a sixth of an octave wide, of a signal, or of a filter of at most `size` taps."""
    if x.numel() <= size:
        power = torch.fft.rfft(x.double(), size).abs().square()
    else:
        frames = x.double().unfold(0, size, size // 2) * torch.hann_window(size, dtype=torch.float64)
        power = torch.fft.rfft(frames).abs().square().mean(0)
    total = np.concatenate(([0.0], power.cumsum(0).numpy()))
    edges = bands_hz(sample_rate)[:, None] / A_BAND ** np.array([1.0, -1.0]) * size / sample_rate
    first, last = np.floor(edges[:, 0]).astype(int), np.ceil(edges[:, 1]).astype(int) + 1
    return (total[last] - total[first]) / (last - first)


def response_db(taps: Tensor, dry: Tensor, sample_rate: int) -> tuple[Array, Array]:
    """Frequencies in Hz at which dry sounds, and the response there in dB."""
    sounding = band_powers(dry, sample_rate)
    kept = sounding > sounding.max() * 10 ** (QUIETEST_DB / 10)
    level_db = 10 * np.log10(band_powers(taps, sample_rate) + 1e-12)
    return bands_hz(sample_rate)[kept], level_db[kept]


FLAT = "a flat response"


def response_words(taps: Tensor, dry: Tensor, sample_rate: int) -> tuple[str, dict[str, float]]:
    """The frequency response in words, and its cuts in Hz."""
    hz, level_db = response_db(taps, dry, sample_rate)
    if len(hz) < 48:
        return "a response in too narrow a band to tell", {}
    low, high = _falls(level_db), _falls(level_db[::-1])
    if low and high:
        reference = level_db.max()
    elif low or high:
        flat_end = level_db[-12:] if low else level_db[:12]
        reference = float(np.median(flat_end))
    else:
        reference = float(np.median(level_db))
    inside = np.flatnonzero(level_db > reference - CUT_DB)
    first, last = (inside[0] if low else 0), (inside[-1] if high else len(hz) - 1)
    words, figures = [], {}
    if low:
        words.append(f"a low cut at {in_hz(hz[first])}")
        figures["low_cut_hz"] = float(hz[first])
    if high:
        words.append(f"a high cut at {in_hz(hz[last])}")
        figures["high_cut_hz"] = float(hz[last])
    passed, frequencies = level_db[first : last + 1], hz[first : last + 1]
    if not low and abs(passed[:6].mean() - np.median(passed)) > SHELF_DB:
        words.append(f"bass {passed[:6].mean() - np.median(passed):+.0f} dB")
    if not high and abs(passed[-6:].mean() - np.median(passed)) > SHELF_DB:
        words.append(f"treble {passed[-6:].mean() - np.median(passed):+.0f} dB")
    for place, height in _extremes(passed):
        words.append(f"{height:+.0f} dB at {in_hz(frequencies[place])}")
        figures.setdefault("peak_hz", float(frequencies[place]))
    return (" and ".join(words[:2]) + "".join(f", {word}" for word in words[2:]), figures) if words else (FLAT, figures)


def _falls(level_db: Array) -> bool:
    """Whether a response falls steadily towards its first band, and far."""
    end = level_db[:END_BANDS]
    slope = np.polyfit(np.arange(END_BANDS) / 12, end, 1)[0]
    falling = slope > STEEP or end.mean() < np.median(level_db) - 2 * FAR_DB
    return bool(falling and end[:6].mean() < level_db.max() - FAR_DB)


def _extremes(level_db: Array) -> list[tuple[int, float]]:
    """Peaks and dips within: place, and height in dB over the ends of its slopes; the most prominent first."""
    found = []
    for sign in (1, -1):
        places, about = find_peaks(sign * level_db, prominence=PROMINENT_DB)
        found += zip(places.tolist(), (sign * about["prominences"]).tolist(), strict=True)
    return sorted(found, key=lambda extreme: -abs(extreme[1]))[:MOST_PEAKS]
