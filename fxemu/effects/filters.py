"""Linear filters: first-order sections, second-order sections from their analog prototypes, Butterworth filters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from scipy import signal
from torch import Tensor

from fxemu.effects.base import Effect, EffectError
from fxemu.errors import SAMPLE_RATES_HZ, check_range

# A filter's frequency may be this share of the sample rate: nearer to its half, bilinear filters ring ever longer.
HIGHEST = 0.48


def rc_lowpass(x: Tensor, sample_rate: int, cutoff_hz: float | Tensor) -> Tensor:
    """First-order low-pass of x (samples,), float64 out: a resistor and a capacitor, -3 dB at `cutoff_hz`.

    A cutoff above HIGHEST of the sample rate passes everything. It may be a track (samples,), held below that.
    """
    if isinstance(cutoff_hz, Tensor):
        warped = torch.tan(math.pi * cutoff_hz.clamp_max(HIGHEST * sample_rate) / sample_rate)
        return torch.from_numpy(_moving_lowpass(x.double().numpy(), warped.double().numpy()))
    if cutoff_hz > HIGHEST * sample_rate:
        return x.double()
    return section(x, sample_rate, cutoff_hz, [1], [1, 1])


@njit(cache=True)
def _moving_lowpass(x: NDArray, warped: NDArray) -> NDArray:
    """`rc_lowpass` with tan(pi cutoff / sample_rate) at each sample: its state is the capacitor's voltage.

    Zavalishin, "The art of VA filter design" (2018), section 3.10.
    """
    y, held = np.empty_like(x), 0.0
    for n in range(x.size):
        rise = (x[n] - held) * warped[n] / (1 + warped[n])
        y[n] = held + rise
        held = y[n] + rise
    return y


def rc_highpass(x: Tensor, sample_rate: int, cutoff_hz: float) -> Tensor:
    """First-order high-pass of x (samples,), float64 out: a coupling capacitor, -3 dB at `cutoff_hz`."""
    return section(x, sample_rate, cutoff_hz, [1, 0], [1, 1])


def section(
    x: Tensor, sample_rate: int, frequency_hz: float, numerator: Sequence[float], denominator: Sequence[float]
) -> Tensor:
    """x (samples,) through an analog filter given by its polynomials in s, where s = 1j is `frequency_hz`; float64.

    The bilinear transform, prewarped to be exact at that frequency.
    """
    warp = 0.5 / math.tan(math.pi * checked_frequency_hz(frequency_hz, sample_rate) / sample_rate)
    b, a = signal.bilinear(numerator, denominator, fs=warp)
    return torch.from_numpy(signal.lfilter(b, a, x.double().numpy()))


def checked_frequency_hz(frequency_hz: float, sample_rate: int) -> float:
    """`frequency_hz`; EffectError where it is too near to half the sample rate."""
    highest_hz = HIGHEST * sample_rate
    if frequency_hz > highest_hz:
        raise EffectError(
            f"cutoff: got {frequency_hz:g} Hz; must be at most {HIGHEST} of the sample rate ({highest_hz:g} Hz)"
        )
    return frequency_hz


def extreme_rates(frequency_hz: float) -> tuple[float, float]:
    """The lowest and the highest sample rate, in Hz, at which a filter at `frequency_hz` may run."""
    low, high = SAMPLE_RATES_HZ
    return max(low, frequency_hz / HIGHEST), high


def warped_sweep(position: NDArray, low_hz: float, high_hz: float, sample_rate: int) -> NDArray:
    """tan(pi f / sample_rate), the bilinear transform's frequency, for f swept evenly in octaves.

    Args:
        position: of the sweep (samples,), 0 (low_hz) to 1 (high_hz).

    Raises:
        EffectError: where high_hz is too near to half the sample rate.
    """
    checked_frequency_hz(high_hz, sample_rate)
    return np.tan(math.pi / sample_rate * low_hz * (high_hz / low_hz) ** position)


def section_memory_s(frequency_hz: float, denominator: Sequence[float]) -> float:
    """Decay time of a `section` in s: 14 time constants of its slowest pole, at any sample rate."""

    def memory_s(rate: float) -> float:
        warp = 0.5 / math.tan(math.pi * frequency_hz / rate)
        poles = np.roots(signal.bilinear([1], denominator, fs=warp)[1])
        return -14 / (rate * math.log(max(np.abs(poles).max(), 1e-3)))

    return max(memory_s(rate) for rate in extreme_rates(frequency_hz))


class Butterworth(Effect):
    """A 4th-order Butterworth filter: 24 dB an octave, -3 dB at the cutoff."""

    kind: str

    def __init__(self, cutoff_hz: float) -> None:
        check_range("cutoff_hz", cutoff_hz, 20, 20_000, "Hz")
        self.cutoff_hz = cutoff_hz
        # The sharper of its two sections has q = 1 / (2 cos(3 pi / 8)).
        self.memory_s = section_memory_s(cutoff_hz, [1, 2 * math.cos(3 * math.pi / 8), 1])

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        cutoff_hz = checked_frequency_hz(self.cutoff_hz, sample_rate)
        sections = signal.butter(4, cutoff_hz, self.kind, fs=sample_rate, output="sos")
        return torch.from_numpy(signal.sosfilt(sections, dry.double().numpy()))


class Lowpass(Butterworth):
    """A 4th-order Butterworth low-pass: 24 dB an octave, -3 dB at the cutoff.

    Args:
        cutoff_hz: 20 to 20000 Hz, and at most 0.48 of the sample rate.
    """

    kind = "lowpass"

    def __init__(self, cutoff_hz: float = 1000.0) -> None:
        super().__init__(cutoff_hz)


class Highpass(Butterworth):
    """A 4th-order Butterworth high-pass: 24 dB an octave, -3 dB at the cutoff.

    Args:
        cutoff_hz: 20 to 20000 Hz, and at most 0.48 of the sample rate.
    """

    kind = "highpass"

    def __init__(self, cutoff_hz: float = 300.0) -> None:
        super().__init__(cutoff_hz)


class Bandpass(Effect):
    """A second-order band-pass: 0 dB at its centre, -3 dB at the edges of a band centre / q wide.

    Args:
        center_hz: 20 to 20000 Hz, and at most 0.48 of the sample rate.
        q: 0.1 to 50.
    """

    def __init__(self, center_hz: float = 1000.0, q: float = 2.0) -> None:
        check_range("center_hz", center_hz, 20, 20_000, "Hz")
        check_range("q", q, 0.1, 50)
        self.center_hz, self.q = center_hz, q
        self.memory_s = section_memory_s(center_hz, [1, 1 / q, 1])

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        return section(dry, sample_rate, self.center_hz, [1 / self.q, 0], [1, 1 / self.q, 1])


class ResonantLowpass(Effect):
    """A second-order low-pass with a peak: its gain is q at the cutoff, and it falls by 12 dB an octave.

    Args:
        cutoff_hz: 20 to 20000 Hz, and at most 0.48 of the sample rate.
        q: 0.5 to 50; above 0.7 there is a peak.
    """

    def __init__(self, cutoff_hz: float = 800.0, q: float = 10.0) -> None:
        check_range("cutoff_hz", cutoff_hz, 20, 20_000, "Hz")
        check_range("q", q, 0.5, 50)
        self.cutoff_hz, self.q = cutoff_hz, q
        self.memory_s = section_memory_s(cutoff_hz, [1, 1 / q, 1])

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        return section(dry, sample_rate, self.cutoff_hz, [1], [1, 1 / self.q, 1])


class ParametricEQ(Effect):
    """A low shelf, a peak and a high shelf, as in R. Bristow-Johnson's "Cookbook formulae for audio EQ".

    A shelf has half its gain (in dB) at its frequency, the peak all of it.

    Args:
        low_hz, low_db: the low shelf, 20 to 20000 Hz, -24 to 24 dB.
        peak_hz, peak_db, peak_q: the peak, 20 to 20000 Hz, -24 to 24 dB, 0.1 to 20.
        high_hz, high_db: the high shelf, 20 to 20000 Hz, -24 to 24 dB. All at most 0.48 of the sample rate.
    """

    def __init__(
        self,
        low_hz: float = 150.0,
        low_db: float = 6.0,
        peak_hz: float = 800.0,
        peak_db: float = -9.0,
        peak_q: float = 1.0,
        high_hz: float = 3000.0,
        high_db: float = 6.0,
    ) -> None:
        for name, frequency_hz in (("low_hz", low_hz), ("peak_hz", peak_hz), ("high_hz", high_hz)):
            check_range(name, frequency_hz, 20, 20_000, "Hz")
        for name, gain_db in (("low_db", low_db), ("peak_db", peak_db), ("high_db", high_db)):
            check_range(name, gain_db, -24, 24, "dB")
        check_range("peak_q", peak_q, 0.1, 20)
        # The amplitude of half the gain, which the cookbook calls A.
        low, peak, high = (10 ** (gain_db / 40) for gain_db in (low_db, peak_db, high_db))
        low_slope, high_slope = math.sqrt(2 * low), math.sqrt(2 * high)
        self.sections = (
            (low_hz, [low, low * low_slope, low * low], [low, low_slope, 1]),
            (peak_hz, [1, peak / peak_q, 1], [1, 1 / (peak * peak_q), 1]),
            (high_hz, [high * high, high * high_slope, high], [1, high_slope, high]),
        )
        self.memory_s = sum(section_memory_s(hz, denominator) for hz, _, denominator in self.sections)

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        for hz, numerator, denominator in self.sections:
            dry = section(dry, sample_rate, hz, numerator, denominator)
        return dry
