"""Linear filters: first-order sections, second-order sections from their analog prototypes, Butterworth filters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from scipy import signal
from torch import Tensor

from fxemu.effects.base import Effect, EffectError, check_range


def rc_lowpass(x: Tensor, sample_rate: int, cutoff_hz: float) -> Tensor:
    """First-order low-pass of x (samples,), float64 out: a resistor and a capacitor, -3 dB at `cutoff_hz`.

    A cutoff of half the sample rate or more leaves nothing to take out.
    """
    if cutoff_hz >= sample_rate / 2:
        return x.double()
    return section(x, sample_rate, cutoff_hz, [1], [1, 1])


def rc_highpass(x: Tensor, sample_rate: int, cutoff_hz: float) -> Tensor:
    """First-order high-pass of x (samples,), float64 out: a coupling capacitor, -3 dB at `cutoff_hz`."""
    return section(x, sample_rate, cutoff_hz, [1, 0], [1, 1])


def section(
    x: Tensor, sample_rate: int, frequency_hz: float, numerator: Sequence[float], denominator: Sequence[float]
) -> Tensor:
    """x (samples,) through an analog filter given by its polynomials in s, where s = 1j is `frequency_hz`; float64.

    The bilinear transform, prewarped to be exact at that frequency.
    """
    warp = 0.5 / math.tan(math.pi * below_nyquist(frequency_hz, sample_rate) / sample_rate)
    b, a = signal.bilinear(numerator, denominator, fs=warp)
    return torch.from_numpy(signal.lfilter(b, a, x.double().numpy()))


def below_nyquist(cutoff_hz: float, sample_rate: int) -> float:
    """`cutoff_hz`, or an EffectError where it is half the sample rate or more."""
    if cutoff_hz >= sample_rate / 2:
        raise EffectError(f"cutoff: got {cutoff_hz:g} Hz; must be below half the sample rate ({sample_rate / 2:g} Hz)")
    return cutoff_hz


def resonance_memory_s(frequency_hz: float, q: float) -> float:
    """Seconds in which a second-order section forgets: 12 time constants of its slower pole."""
    return 12 * max(2 * q, 1 / q) / (2 * math.pi * frequency_hz)


class Butterworth(Effect):
    """A 4th-order Butterworth filter: 24 dB an octave, -3 dB at the cutoff."""

    kind: str

    def __init__(self, cutoff_hz: float) -> None:
        check_range("cutoff_hz", cutoff_hz, 20, 20_000, "Hz")
        self.cutoff_hz = cutoff_hz
        self.memory_s = 10 / cutoff_hz

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        cutoff_hz = below_nyquist(self.cutoff_hz, sample_rate)
        sections = signal.butter(4, cutoff_hz, self.kind, fs=sample_rate, output="sos")
        return torch.from_numpy(signal.sosfilt(sections, dry.double().numpy()))


class Lowpass(Butterworth):
    """A 4th-order Butterworth low-pass: 24 dB an octave, -3 dB at the cutoff.

    Args:
        cutoff_hz: 20 to 20000 Hz, and below half the sample rate.
    """

    kind = "lowpass"

    def __init__(self, cutoff_hz: float = 1000.0) -> None:
        super().__init__(cutoff_hz)


class Highpass(Butterworth):
    """A 4th-order Butterworth high-pass: 24 dB an octave, -3 dB at the cutoff.

    Args:
        cutoff_hz: 20 to 20000 Hz, and below half the sample rate.
    """

    kind = "highpass"

    def __init__(self, cutoff_hz: float = 300.0) -> None:
        super().__init__(cutoff_hz)


class Bandpass(Effect):
    """A second-order band-pass: 0 dB at its centre, -3 dB at the edges of a band centre / q wide.

    Args:
        center_hz: 20 to 20000 Hz, and below half the sample rate.
        q: 0.1 to 50.
    """

    def __init__(self, center_hz: float = 1000.0, q: float = 2.0) -> None:
        check_range("center_hz", center_hz, 20, 20_000, "Hz")
        check_range("q", q, 0.1, 50)
        self.center_hz, self.q = center_hz, q
        self.memory_s = resonance_memory_s(center_hz, q)

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        return section(dry, sample_rate, self.center_hz, [1 / self.q, 0], [1, 1 / self.q, 1])


class ResonantLowpass(Effect):
    """A second-order low-pass with a peak: its gain is q at the cutoff, and it falls by 12 dB an octave.

    Args:
        cutoff_hz: 20 to 20000 Hz, and below half the sample rate.
        q: 0.5 to 50; above 0.7 there is a peak.
    """

    def __init__(self, cutoff_hz: float = 800.0, q: float = 10.0) -> None:
        check_range("cutoff_hz", cutoff_hz, 20, 20_000, "Hz")
        check_range("q", q, 0.5, 50)
        self.cutoff_hz, self.q = cutoff_hz, q
        self.memory_s = resonance_memory_s(cutoff_hz, q)

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        return section(dry, sample_rate, self.cutoff_hz, [1], [1, 1 / self.q, 1])


class ParametricEQ(Effect):
    """A low shelf, a peak and a high shelf, as in R. Bristow-Johnson's "Cookbook formulae for audio EQ".

    A shelf has half its gain (in dB) at its frequency, the peak all of it.

    Args:
        low_hz, low_db: the low shelf, 20 to 20000 Hz, -24 to 24 dB.
        peak_hz, peak_db, peak_q: the peak, 20 to 20000 Hz, -24 to 24 dB, 0.1 to 20.
        high_hz, high_db: the high shelf, 20 to 20000 Hz, -24 to 24 dB. All below half the sample rate.
    """

    SHELF_Q = math.sqrt(0.5)

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
        self.frequencies_hz = (low_hz, peak_hz, high_hz)
        # The amplitude of half the gain, which the cookbook calls A.
        self.amplitudes = low, peak, high = tuple(10 ** (gain_db / 40) for gain_db in (low_db, peak_db, high_db))
        self.peak_q = peak_q
        self.memory_s = (
            resonance_memory_s(low_hz / math.sqrt(low), self.SHELF_Q)
            + resonance_memory_s(peak_hz, peak_q * peak)
            + resonance_memory_s(high_hz * math.sqrt(high), self.SHELF_Q)
        )

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        low, peak, high = self.amplitudes
        low_slope, high_slope = math.sqrt(low) / self.SHELF_Q, math.sqrt(high) / self.SHELF_Q
        sections = (
            ([low, low * low_slope, low * low], [low, low_slope, 1]),
            ([1, peak / self.peak_q, 1], [1, 1 / (peak * self.peak_q), 1]),
            ([high * high, high * high_slope, high], [1, high_slope, high]),
        )
        for frequency_hz, polynomials in zip(self.frequencies_hz, sections, strict=True):
            dry = section(dry, sample_rate, frequency_hz, *polynomials)
        return dry
