"""Wahs: a resonant band-pass that is swept, by an oscillator or by the level of dry."""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from fxemu.effects.base import Effect
from fxemu.effects.envelope import SETTLED, coefficient, follow_peaks
from fxemu.effects.filters import section_memory_s, warped_sweep
from fxemu.effects.modulation import sine_sweep
from fxemu.errors import check_range


class Wah(Effect):
    """A band-pass whose centre is rocked between two frequencies by a sine, evenly in octaves.

    Args:
        rate_hz: 0.05 to 20 Hz.
        low_hz: lowest centre, 50 to 2000 Hz.
        high_hz: highest centre, low_hz to 10000 Hz, and at most 0.48 of the sample rate.
        q: centre over bandwidth, 0.5 to 20.
    """

    def __init__(self, rate_hz: float = 1.5, low_hz: float = 350.0, high_hz: float = 2200.0, q: float = 4.0) -> None:
        check_range("rate_hz", rate_hz, 0.05, 20, "Hz")
        check_band(low_hz, high_hz, q)
        self.rate_hz, self.low_hz, self.high_hz, self.q = rate_hz, low_hz, high_hz, q
        self.memory_s = sweep_memory_s(low_hz, high_hz, q)

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        position = sine_sweep(self.rate_hz, dry.numel(), sample_rate, start)
        return swept_bandpass(dry, position, self.low_hz, self.high_hz, self.q, sample_rate)


class AutoWah(Effect):
    """A band-pass whose centre rises with the level of dry.

    Args:
        sensitivity_db: gain of the level that moves the centre; at full scale it is all the way up, 0 to 40 dB.
        low_hz: centre in silence, 50 to 2000 Hz.
        high_hz: highest centre, low_hz to 10000 Hz, and at most 0.48 of the sample rate.
        q: centre over bandwidth, 0.5 to 20.
        attack_ms: of the level, 0.1 to 200 ms.
        release_ms: of the level, 5 to 2000 ms.
    """

    def __init__(
        self,
        sensitivity_db: float = 12.0,
        low_hz: float = 250.0,
        high_hz: float = 2500.0,
        q: float = 4.0,
        attack_ms: float = 10.0,
        release_ms: float = 150.0,
    ) -> None:
        check_range("sensitivity_db", sensitivity_db, 0, 40, "dB")
        check_band(low_hz, high_hz, q)
        check_range("attack_ms", attack_ms, 0.1, 200, "ms")
        check_range("release_ms", release_ms, 5, 2000, "ms")
        self.gain, self.low_hz, self.high_hz, self.q = 10 ** (sensitivity_db / 20), low_hz, high_hz, q
        self.attack_s, self.release_s = attack_ms / 1000, release_ms / 1000
        self.memory_s = SETTLED * (self.attack_s + self.release_s) + sweep_memory_s(low_hz, high_hz, q)

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        attack, release = (coefficient(time_s, sample_rate) for time_s in (self.attack_s, self.release_s))
        level = follow_peaks(dry.double().abs().numpy(), attack, release, 0.0)
        return swept_bandpass(dry, np.minimum(self.gain * level, 1), self.low_hz, self.high_hz, self.q, sample_rate)


def check_band(low_hz: float, high_hz: float, q: float) -> None:
    """ValueError for a sweep or a q out of range."""
    check_range("low_hz", low_hz, 50, 2000, "Hz")
    check_range("high_hz", high_hz, low_hz, 10_000, "Hz")
    check_range("q", q, 0.5, 20)


def sweep_memory_s(low_hz: float, high_hz: float, q: float) -> float:
    """Decay time of a sweeping band-pass in s, at whichever end it stays."""
    return max(section_memory_s(frequency_hz, [1, 1 / q, 1]) for frequency_hz in (low_hz, high_hz))


def swept_bandpass(dry: Tensor, position: NDArray, low_hz: float, high_hz: float, q: float, sample_rate: int) -> Tensor:
    """dry (samples,) through a band-pass whose centre goes from low_hz (position 0) to high_hz (position 1)."""
    warped = warped_sweep(position, low_hz, high_hz, sample_rate)
    return torch.from_numpy(state_variable_bandpass(dry.double().numpy(), warped, 1 / q))


@njit(cache=True)
def state_variable_bandpass(x: NDArray, warped: NDArray, damping: float) -> NDArray:
    """Band-pass of x (samples,), 0 dB at its centre, which each sample gives by warped = tan(pi f / rate).

    The trapezoidal state-variable filter, stable under any sweep (Simper 2013; Zavalishin 2012).
    """
    band = np.empty_like(x)
    first = second = 0.0
    for n in range(x.size):
        g = warped[n]
        v1 = (first + g * (x[n] - second)) / (1 + g * (g + damping))
        v2 = second + g * v1
        first, second = 2 * v1 - first, 2 * v2 - second
        band[n] = damping * v1
    return band
