"""Ring modulator and tremolo, and the oscillator of all modulated effects, its phase set by the place in the song."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from numpy.typing import NDArray
from torch import Tensor

from fxemu.effects.base import Effect
from fxemu.errors import check_choice, check_range

# Oscillators over phase in cycles, in [-1, 1], starting at 0 and rising (square: starting at 1).
WAVEFORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "sine": lambda phase: torch.sin(2 * math.pi * phase),
    "triangle": lambda phase: 1 - 4 * ((phase + 0.25) % 1 - 0.5).abs(),
    "square": lambda phase: 1 - 2 * (phase % 1 >= 0.5).to(phase.dtype),
}


def oscillator(waveform: str, rate_hz: float, samples: int, sample_rate: int, start: int, phase: float = 0.0) -> Tensor:
    """One of WAVEFORMS from sample `start` of a song, float64 (samples,), with `phase` in cycles at its sample 0."""
    position = torch.arange(start, start + samples, dtype=torch.float64)
    return WAVEFORMS[waveform](position * (rate_hz / sample_rate) + phase)


def sine_sweep(rate_hz: float, samples: int, sample_rate: int, start: int, phase: float = 0.0) -> NDArray:
    """A sine `oscillator` between 0 and 1: float64 (samples,)."""
    return (1 + oscillator("sine", rate_hz, samples, sample_rate, start, phase).numpy()) / 2


class RingModulator(Effect):
    """Dry times an oscillator, mixed with dry: wet = dry ((1 - depth) + depth osc).

    Args:
        rate_hz: oscillator frequency, 1 to 10000 Hz.
        depth: 0 (dry) to 1 (all modulated).
        waveform: sine, triangle or square.
    """

    def __init__(self, rate_hz: float = 1000.0, depth: float = 1.0, waveform: str = "sine") -> None:
        check_range("rate_hz", rate_hz, 1, 10_000, "Hz")
        _check(depth, waveform)
        self.rate_hz, self.depth, self.waveform = rate_hz, depth, waveform

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        osc = oscillator(self.waveform, self.rate_hz, dry.numel(), sample_rate, start)
        return dry * (1 - self.depth + self.depth * osc)


class Tremolo(Effect):
    """Periodic loudness: wet = dry (1 - depth (1 - osc) / 2), between full and (1 - depth).

    Args:
        rate_hz: 0.05 to 50 Hz.
        depth: 0 (none) to 1 (down to silence).
        waveform: sine, triangle or square.
    """

    tracked = ("depth",)

    def __init__(self, rate_hz: float = 5.0, depth: float | Tensor = 1.0, waveform: str = "sine") -> None:
        check_range("rate_hz", rate_hz, 0.05, 50, "Hz")
        _check(depth, waveform)
        self.rate_hz, self.depth, self.waveform = rate_hz, depth, waveform

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        osc = oscillator(self.waveform, self.rate_hz, dry.numel(), sample_rate, start)
        return dry * (1 - self.depth * (1 - osc) / 2)


def _check(depth: float, waveform: str) -> None:
    check_range("depth", depth, 0, 1)
    check_choice("waveform", waveform, WAVEFORMS)
