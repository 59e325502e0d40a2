"""A delay with feedback: echoes that get fainter and darker."""

from __future__ import annotations

import math

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from fxemu.effects.base import Effect
from fxemu.errors import check_range


class Delay(Effect):
    """Dry mixed with its echoes, each `feedback` times the one before and low-passed once more.

    With feedback 0 there is one echo: slapback.

    Args:
        delay_ms: from one echo to the next, 1 to 2000 ms.
        feedback: 0 to 0.95.
        damping_hz: first-order low-pass in the feedback, 200 to 20000 Hz.
        mix: 0 (dry) to 1 (echoes alone).
    """

    def __init__(
        self, delay_ms: float = 300.0, feedback: float = 0.4, damping_hz: float = 5000.0, mix: float = 0.4
    ) -> None:
        check_range("delay_ms", delay_ms, 1, 2000, "ms")
        check_range("feedback", feedback, 0, 0.95)
        check_range("damping_hz", damping_hz, 200, 20_000, "Hz")
        check_range("mix", mix, 0, 1)
        self.delay_s, self.feedback, self.damping_hz, self.mix = delay_ms / 1000, feedback, damping_hz, mix
        echoes = 1 + math.log(1e-5) / math.log(feedback) if feedback > 1e-5 else 1
        self.memory_s = math.ceil(echoes) * self.delay_s + (0.01 if feedback else 0.001)

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        delay = max(1, round(self.delay_s * sample_rate))
        damping = math.exp(-2 * math.pi * self.damping_hz / sample_rate)
        wet = echoes(dry.double().numpy(), delay, self.feedback, damping)
        return (1 - self.mix) * dry + self.mix * torch.from_numpy(wet)


@njit(cache=True)
def echoes(x: NDArray, delay: int, feedback: float, damping: float) -> NDArray:
    """All echoes of x (samples,), every `delay` samples, with a one-pole average in the loop."""
    line = np.zeros(x.size + delay)
    average = 0.0
    for n in range(x.size):
        average = damping * average + (1 - damping) * line[n]
        line[n + delay] = x[n] + feedback * average
    return line[: x.size].copy()
