"""A memoryless curve between filters, in words: the level from which it bends, and its harmonics."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.signal import butter, lfilter
from torch import Tensor

from fxemu.evaluation.diagnosis.explanation import Explanation, share_left
from fxemu.models.fits.fir import filtered, fit_filters

TAPS = 64
BENDS = (3.0, 12.0, 50.0)  # slopes of the curves that are added up, over the signal's peak
LOW_CUTS_HZ = (0.0, 80.0, 300.0, 800.0)  # before the curve
PROBE_HZ, PROBE_DB, BENT_DB = 400.0, np.arange(-60.0, 1.0, 2.0), 1.0


def explain_by_curve(dry: Tensor, wet: Tensor, short: Tensor, skip: int, sample_rate: int) -> Explanation:
    """The best sum of filtered curves of dry, as it is, with a low cut, or through the best filter `short` (N,)."""
    fitted = []
    for before in (*LOW_CUTS_HZ, short):
        driven = _driven(dry, before, sample_rate)
        scale = float(driven.abs().max()) + 1e-12
        curves = _curves(driven / scale)
        filters = fit_filters([(curves, wet)], TAPS)
        prediction = sum(filtered(x, h) for x, h in zip(curves, filters, strict=True))
        fitted.append((share_left(prediction, wet, skip), prediction, before, scale, filters))
    left, prediction, before, scale, filters = min(fitted, key=lambda each: each[0])
    peak_db = 20 * math.log10(float(dry.abs().max()) + 1e-12)
    harmonics_db, gains_db = [], []
    for level_db in PROBE_DB + peak_db:
        curves = _curves(_driven(_sine(level_db, sample_rate), before, sample_rate) / scale)
        amplitudes = _harmonics(sum(filtered(x, h) for x, h in zip(curves, filters, strict=True)), sample_rate)
        gains_db.append(20 * math.log10(amplitudes[0] + 1e-12) - level_db)
        harmonics_db.append(20 * np.log10(amplitudes[1:] / (amplitudes[0] + 1e-12) + 1e-12))
    bent = (PROBE_DB + peak_db)[np.abs(np.array(gains_db) - gains_db[0]) > BENT_DB]
    even, odd = (float(harmonics_db[-1][first::2].max()) for first in (0, 1))
    figures = {"even_db": even, "odd_db": odd, "bends_db": float(bent[0]) if len(bent) else math.nan}
    words = f"a distortion that bends from {bent[0]:.0f} dB on" if len(bent) else "a slight distortion"
    kinds = [f"{name} harmonics at {level:.0f} dB" for name, level in (("odd", odd), ("even", even)) if level > -60]
    return Explanation("distortion", f"{words}, {' and '.join(kinds)}".rstrip(", "), left, figures, prediction)


def _driven(dry: Tensor, before: float | Tensor, sample_rate: int) -> Tensor:
    """dry (T,) through what is before the curve: a filter, or a low cut in Hz."""
    if isinstance(before, Tensor):
        return filtered(dry, before)
    if not before:
        return dry
    return torch.from_numpy(lfilter(*butter(1, 2 * before / sample_rate, "high"), dry.numpy()))


def _curves(x: Tensor) -> Tensor:
    """Curves of x (T,), odd and even: (I, T)."""
    bent = [torch.tanh(bend * x) for bend in BENDS]
    return torch.stack([x, x.abs(), *bent, *(each.square() for each in bent)])


def _sine(level_db: float, sample_rate: int) -> Tensor:
    t = torch.arange(sample_rate // 4, dtype=torch.float64) / sample_rate
    return 10 ** (level_db / 20) * torch.sin(2 * math.pi * PROBE_HZ * t)


def _harmonics(x: Tensor, sample_rate: int, count: int = 9) -> np.ndarray:
    """Amplitudes of a probe's fundamental and harmonics, (count,)."""
    half = x[x.numel() // 2 :]
    spectrum = torch.fft.rfft(half * torch.hann_window(half.numel(), dtype=half.dtype)).abs().numpy()
    bins = PROBE_HZ * np.arange(1, count + 1) * half.numel() / sample_rate
    return 4 * spectrum[np.round(bins).astype(int)] / half.numel()
