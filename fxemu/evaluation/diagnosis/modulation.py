"""Gains and filters that repeat, and filters that follow the level, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from scipy.signal import resample_poly
from torch import Tensor

from fxemu.effects.envelope import coefficient, follow_peaks, level_db
from fxemu.evaluation.diagnosis.explanation import Explanation, share_left
from fxemu.models.fits.fir import filtered, fit_filters
from fxemu.models.fits.movement_rate import departures, find_movement_rate
from fxemu.models.fits.oscillator import find_rate, fit_waveform

GAIN_HARMONICS, AUDIBLE_HZ = 12, 25.0  # of the gain; a rate from which it is a ring modulator
LOW_RATE_HZ, LEVEL_RATE_HZ = 5500, 11_000  # to which moving filters are followed: few taps reach far
REACH_S, HARMONICS = 0.018, 12  # of a filter that repeats
FEWEST_CYCLES = 4  # within an excerpt; with fewer the rate may be a harmonic of a slower one
LEVEL_TAPS, LEVEL_TERMS = 64, 5
LEVEL_TIMES_S = ((0.003, 0.05), (0.01, 0.15), (0.02, 0.4))  # attack and release of a level that a filter follows


def explain_by_oscillator(dry: Tensor, wet: Tensor, skip: int, sample_rate: int) -> Explanation:
    """A gain that repeats: tremolo or ring modulator."""
    rate = find_rate(dry, wet)
    mean, harmonics = fit_waveform(dry, wet, rate, GAIN_HARMONICS)
    phases = torch.arange(dry.numel(), dtype=torch.float64) * rate
    gain = mean + sum((h * torch.exp(1j * k * phases)).real for k, h in enumerate(harmonics, start=1))
    left, hz = share_left(gain * dry, wet, skip), rate * sample_rate / (2 * math.pi)
    depth = 1 - float(gain.abs().min()) / max(float(gain.abs().max()), 1e-12)
    name = "a ring modulator" if hz > AUDIBLE_HZ else "a tremolo, a gain that repeats"
    words = f"{name} at {float(f'{hz:.3g}'):g} Hz, {depth:.0%} deep"
    return Explanation("oscillator", words, left, {"rate_hz": hz, "depth": depth}, gain * dry)


def explain_by_periodic_filter(dry: Tensor, wet: Tensor, skip: int, sample_rate: int) -> Explanation:
    """A filter that repeats: phaser, flanger, chorus, vibrato, wah.

    What it leaves is a share of what a fixed filter leaves, of frequencies below 2.7 kHz.
    """
    taps = round(REACH_S * sample_rate)
    rate = find_movement_rate(departures([(dry, wet)], taps), taps)
    x, y, factor = _slower(dry, wet, LOW_RATE_HZ, sample_rate)
    phases = torch.arange(x.numel(), dtype=torch.float64) * rate * factor
    turning = [x * wave(k * phases) for k in range(1, HARMONICS + 1) for wave in (torch.cos, torch.sin)]
    taps = round(REACH_S * sample_rate / factor)
    inputs, skip = [x, *turning], skip // factor
    parameters = len(inputs) * taps
    # Of so many parameters a share fits what is but noise.
    spared = max(1 - parameters / x.numel(), 0.1)
    moving = share_left(_sum_of_filters(inputs, y, taps), y, skip) / spared
    fixed = share_left(_sum_of_filters([x], y, 2 * taps), y, skip)
    hz = rate * sample_rate / (2 * math.pi)
    slower = "" if hz * dry.numel() / sample_rate >= FEWEST_CYCLES else " or slower"
    words = f"a filter that repeats at {hz:.2g} Hz{slower} (a phaser, flanger, chorus, vibrato or wah)"
    return Explanation("periodic filter", words, moving / max(fixed, 1e-12), {"rate_hz": hz})


def explain_by_following_filter(dry: Tensor, wet: Tensor, skip: int, sample_rate: int) -> Explanation:
    """A filter that follows the level: auto-wah.

    What it leaves is a share of what a fixed filter leaves, of frequencies below 5.5 kHz.
    """
    x, y, factor = _slower(dry, wet, LEVEL_RATE_HZ, sample_rate)
    fixed = share_left(_sum_of_filters([x], y, 4 * LEVEL_TAPS), y, skip // factor)
    left = []
    for attack_s, release_s in LEVEL_TIMES_S:
        times = (coefficient(time_s, sample_rate) for time_s in (attack_s, release_s))
        level = torch.from_numpy(follow_peaks(level_db(dry), *times, -60.0))[::factor][: x.numel()]
        level = ((level - level.mean()) / level.std()).clamp(-3, 3) / 2
        inputs = [x * level**k for k in range(LEVEL_TERMS)]
        left.append(share_left(_sum_of_filters(inputs, y, LEVEL_TAPS), y, skip // factor))
    words = "a filter that follows the level (an envelope filter, an auto-wah)"
    return Explanation("following filter", words, min(left) / max(fixed, 1e-12))


def _sum_of_filters(inputs: Sequence[Tensor], wet: Tensor, taps: int) -> Tensor:
    """The nearest to wet (T,) that filters of so many taps make of the inputs (T,) together."""
    filters = fit_filters([(torch.stack([*inputs]), wet)], taps)
    return sum(filtered(x, h) for x, h in zip(inputs, filters, strict=True))


def _slower(dry: Tensor, wet: Tensor, rate_hz: int, sample_rate: int) -> tuple[Tensor, Tensor, int]:
    """Both at a lower sample rate, near `rate_hz`, and by what factor it is lower."""
    factor = max(1, round(sample_rate / rate_hz))
    x, y = (torch.from_numpy(resample_poly(side.numpy(), 1, factor)) for side in (dry, wet))
    return x, y, factor
