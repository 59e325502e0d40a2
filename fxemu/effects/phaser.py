"""A phaser: swept all-pass filters, whose sum with dry has moving notches."""

from __future__ import annotations

import math

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from fxemu.effects.base import Effect
from fxemu.effects.filters import extreme_rates, warped_sweep
from fxemu.effects.modulation import sine_sweep
from fxemu.errors import check_choice, check_range


class Phaser(Effect):
    """First-order all-passes in series with feedback, mixed with dry; their corner is swept evenly in octaves.

    At mix 0.5 without feedback, 4 stages at corner f have notches near f tan(pi / 8) and f tan(3 pi / 8).

    Args:
        rate_hz: 0.05 to 20 Hz.
        low_hz: lowest corner, 50 to 2000 Hz.
        high_hz: highest corner, low_hz to 10000 Hz, and at most 0.48 of the sample rate.
        stages: 2, 4, 6, 8, 10 or 12; each two make a notch.
        feedback: -0.9 to 0.9.
        mix: 0 (dry) to 1 (all-passes alone).
    """

    def __init__(
        self,
        rate_hz: float = 0.5,
        low_hz: float = 300.0,
        high_hz: float = 2000.0,
        stages: int = 4,
        feedback: float = 0.3,
        mix: float = 0.5,
    ) -> None:
        check_range("rate_hz", rate_hz, 0.05, 20, "Hz")
        check_range("low_hz", low_hz, 50, 2000, "Hz")
        check_range("high_hz", high_hz, low_hz, 10_000, "Hz")
        check_choice("stages", stages, (2, 4, 6, 8, 10, 12))
        check_range("feedback", feedback, -0.9, 0.9)
        check_range("mix", mix, 0, 1)
        self.rate_hz, self.low_hz, self.high_hz = rate_hz, low_hz, high_hz
        self.stages, self.feedback, self.mix = stages, feedback, mix
        corners = [(hz, rate) for hz in (low_hz, high_hz) for rate in extreme_rates(hz)]
        self.memory_s = max(loop_memory_s(hz, rate, stages, feedback) for hz, rate in corners)

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        position = sine_sweep(self.rate_hz, dry.numel(), sample_rate, start)
        warped = warped_sweep(position, self.low_hz, self.high_hz, sample_rate)
        shifted = allpasses(dry.double().numpy(), (warped - 1) / (warped + 1), self.stages, self.feedback)
        return (1 - self.mix) * dry + self.mix * torch.from_numpy(shifted)


def loop_memory_s(corner_hz: float, sample_rate: float, stages: int, feedback: float) -> float:
    """Decay time of the loop in s: 14 time constants of its slowest pole, and 2 more for each stage.

    With A an all-pass, the poles are where feedback A^stages = 1, thus where A is one of the roots of 1 / feedback.
    """
    warped = math.tan(math.pi * corner_hz / sample_rate)
    c = (warped - 1) / (warped + 1)
    turns = (np.arange(stages) + (0.5 if feedback < 0 else 0)) / stages
    roots = max(abs(feedback), 1e-3) ** (-1 / stages) * np.exp(2j * math.pi * turns)
    slowest = np.abs((1 - c * roots) / (roots - c)).max()
    return -(14 + 2 * stages) / (sample_rate * math.log(max(slowest, 1e-3)))


@njit(cache=True)
def allpasses(x: NDArray, coefficients: NDArray, stages: int, feedback: float) -> NDArray:
    """x (samples,) through all-passes (c + z^-1) / (1 + c z^-1), the last one's output fed back to the first."""
    wet = np.empty_like(x)
    states = np.zeros(stages)
    value = 0.0
    for n in range(x.size):
        value = x[n] + feedback * value
        for k in range(stages):
            passed = coefficients[n] * value + states[k]
            states[k] = value - coefficients[n] * passed
            value = passed
        wet[n] = value
    return wet
