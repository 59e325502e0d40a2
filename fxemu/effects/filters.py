"""Linear filters, through torchaudio's recursive filter in float64."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchaudio import functional as AF

from fxemu.effects.base import Effect, EffectError, check_range


def rc_lowpass(x: Tensor, sample_rate: int, cutoff_hz: float) -> Tensor:
    """First-order low-pass of x (samples,), float64 out: a resistor and a capacitor, -3 dB at `cutoff_hz`."""
    return _rc(x, sample_rate, cutoff_hz, highpass=False)


def rc_highpass(x: Tensor, sample_rate: int, cutoff_hz: float) -> Tensor:
    """First-order high-pass of x (samples,), float64 out: a coupling capacitor, -3 dB at `cutoff_hz`."""
    return _rc(x, sample_rate, cutoff_hz, highpass=True)


def _rc(x: Tensor, sample_rate: int, cutoff_hz: float, highpass: bool) -> Tensor:
    """The bilinear transform of w / (s + w) or s / (s + w), prewarped to be exact at the cutoff."""
    w = math.tan(math.pi * _below_nyquist(cutoff_hz, sample_rate) / sample_rate)
    b = [1.0, -1.0] if highpass else [w, w]
    coefficients = (torch.tensor(c, dtype=torch.float64) for c in ([1 + w, w - 1], b))
    return AF.lfilter(x.double(), *coefficients, clamp=False)


def _below_nyquist(cutoff_hz: float, sample_rate: int) -> float:
    if cutoff_hz >= sample_rate / 2:
        raise EffectError(f"cutoff: got {cutoff_hz:g} Hz; must be below half the sample rate ({sample_rate / 2:g} Hz)")
    return cutoff_hz


class Lowpass(Effect):
    """A 4th-order Butterworth low-pass: 24 dB an octave, -3 dB at the cutoff.

    Args:
        cutoff_hz: 20 to 20000 Hz, and below half the sample rate.
    """

    # The two biquads of a 4th-order Butterworth: 1 / (2 cos(pi / 8)) and 1 / (2 cos(3 pi / 8)).
    Q = (1 / (2 * math.cos(math.pi / 8)), 1 / (2 * math.cos(3 * math.pi / 8)))

    def __init__(self, cutoff_hz: float = 1000.0) -> None:
        check_range("cutoff_hz", cutoff_hz, 20, 20_000, "Hz")
        self.cutoff_hz = cutoff_hz
        self.memory_s = 10 / cutoff_hz

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        for q in self.Q:
            dry = AF.lowpass_biquad(dry.double(), sample_rate, _below_nyquist(self.cutoff_hz, sample_rate), q)
        return dry.to(torch.float32)
