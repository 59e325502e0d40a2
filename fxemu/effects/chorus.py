"""Vibrato, chorus and flanger: a delay line with a moving delay."""

from __future__ import annotations

import math

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from fxemu.effects.base import Effect
from fxemu.effects.modulation import sine_sweep
from fxemu.errors import check_choice, check_range


class Vibrato(Effect):
    """Pitch that rises and falls, by a moving delay alone: delay(t) = delay_ms + depth_ms (1 + sin) / 2.

    The pitch deviates by a factor of up to 1 +- pi rate depth: 1.6 % (27 cents) by default.

    Args:
        rate_hz: 0.05 to 20 Hz.
        depth_ms: of the movement from end to end, 0 to 20 ms.
        delay_ms: the shortest delay, 0.5 to 50 ms.
    """

    def __init__(self, rate_hz: float = 5.0, depth_ms: float = 1.0, delay_ms: float = 1.0) -> None:
        check_range("rate_hz", rate_hz, 0.05, 20, "Hz")
        check_delay(depth_ms, delay_ms)
        self.rate_hz, self.depth_ms, self.delay_ms = rate_hz, depth_ms, delay_ms
        self.memory_s = (depth_ms + delay_ms) / 1000 + 0.001

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        return moving_delay(dry, self.rate_hz, self.depth_ms, self.delay_ms, sample_rate, start)


class Chorus(Effect):
    """Dry mixed with the mean of several vibratos, their phases spread evenly.

    Args:
        rate_hz: 0.05 to 20 Hz.
        depth_ms: of the movement from end to end, 0 to 20 ms.
        delay_ms: the shortest delay, 0.5 to 50 ms.
        voices: 1, 2, 3 or 4.
        mix: 0 (dry) to 1 (voices alone).
    """

    def __init__(
        self,
        rate_hz: float = 0.8,
        depth_ms: float = 4.0,
        delay_ms: float = 12.0,
        voices: int = 3,
        mix: float = 0.5,
    ) -> None:
        check_range("rate_hz", rate_hz, 0.05, 20, "Hz")
        check_delay(depth_ms, delay_ms)
        check_choice("voices", voices, (1, 2, 3, 4))
        check_range("mix", mix, 0, 1)
        self.rate_hz, self.depth_ms, self.delay_ms = rate_hz, depth_ms, delay_ms
        self.voices, self.mix = voices, mix
        self.memory_s = (depth_ms + delay_ms) / 1000 + 0.001

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        voices = (
            moving_delay(dry, self.rate_hz, self.depth_ms, self.delay_ms, sample_rate, start, phase=k / self.voices)
            for k in range(self.voices)
        )
        return (1 - self.mix) * dry + self.mix * sum(voices) / self.voices


class Flanger(Effect):
    """Dry mixed with a short moving delay that is fed back: a comb filter that sweeps.

    Args:
        rate_hz: 0.05 to 20 Hz.
        depth_ms: of the movement from end to end, 0 to 20 ms.
        delay_ms: the shortest delay, 0.5 to 50 ms.
        feedback: -0.95 to 0.95.
        mix: 0 (dry) to 1 (delay alone); 0.5 has the deepest notches.
    """

    def __init__(
        self,
        rate_hz: float = 0.5,
        depth_ms: float = 3.0,
        delay_ms: float = 0.5,
        feedback: float = 0.5,
        mix: float = 0.5,
    ) -> None:
        check_range("rate_hz", rate_hz, 0.05, 20, "Hz")
        check_delay(depth_ms, delay_ms)
        check_range("feedback", feedback, -0.95, 0.95)
        check_range("mix", mix, 0, 1)
        self.rate_hz, self.depth_ms, self.delay_ms = rate_hz, depth_ms, delay_ms
        self.feedback, self.mix = feedback, mix
        passes = 1 + math.log(1e-5) / math.log(max(abs(feedback), 0.01))
        self.memory_s = passes * ((depth_ms + delay_ms) / 1000 + 0.001)

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        delayed = moving_delay(
            dry, self.rate_hz, self.depth_ms, self.delay_ms, sample_rate, start, feedback=self.feedback
        )
        return (1 - self.mix) * dry + self.mix * delayed


def check_delay(depth_ms: float, delay_ms: float) -> None:
    """ValueError for a depth or a delay out of range."""
    check_range("depth_ms", depth_ms, 0, 20, "ms")
    check_range("delay_ms", delay_ms, 0.5, 50, "ms")


def moving_delay(
    dry: Tensor,
    rate_hz: float,
    depth_ms: float,
    delay_ms: float,
    sample_rate: int,
    start: int,
    phase: float = 0.0,
    feedback: float = 0.0,
) -> Tensor:
    """dry (samples,), delayed by delay_ms + depth_ms (1 + sin) / 2 (3 samples at least), float64."""
    sweep = sine_sweep(rate_hz, dry.numel(), sample_rate, start, phase)
    delays = np.maximum((delay_ms + depth_ms * sweep) * sample_rate / 1000, 3.0)
    return torch.from_numpy(read_delayed(dry.double().numpy(), delays, feedback))


@njit(cache=True)
def read_delayed(x: NDArray, delays: NDArray, feedback: float) -> NDArray:
    """x (samples,) through a delay line with feedback, each sample delayed by its own number of samples, 3 or more.

    Between samples: third-order Lagrange interpolation.
    """
    ahead = int(np.ceil(delays.max())) + 2
    line = np.zeros(x.size + ahead)
    delayed = np.empty_like(x)
    for n in range(x.size):
        position = n + ahead - delays[n]
        i = int(position)
        d = position - i
        delayed[n] = (
            line[i - 1] * (-d * (d - 1) * (d - 2) / 6)
            + line[i] * ((d + 1) * (d - 1) * (d - 2) / 2)
            + line[i + 1] * (-(d + 1) * d * (d - 2) / 2)
            + line[i + 2] * ((d + 1) * d * (d - 1) / 6)
        )
        line[n + ahead] = x[n] + feedback * delayed[n]
    return delayed
