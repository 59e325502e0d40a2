"""A bitcrusher: few bits and a low sample rate, with the aliasing that comes of it."""

from __future__ import annotations

import torch
from torch import Tensor

from fxemu.effects.base import Effect
from fxemu.errors import check_range


class Bitcrusher(Effect):
    """Holds a sample `rate_hz` times a second and rounds it to the nearest of 2^bits steps between -1 and 1.

    Args:
        bits: 2 to 16.
        rate_hz: of the held samples, 100 to 200000 Hz; nothing is held from the song's own sample rate on.
    """

    def __init__(self, bits: float = 8.0, rate_hz: float = 11_025.0) -> None:
        check_range("bits", bits, 2, 16)
        check_range("rate_hz", rate_hz, 100, 200_000, "Hz")
        self.steps, self.held_hz = 2 ** (bits - 1), rate_hz
        self.memory_s = 1 / rate_hz

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        held = dry
        if self.held_hz < sample_rate:
            position = torch.arange(start, start + dry.numel(), dtype=torch.float64)
            ratio = sample_rate / self.held_hz
            taken = torch.ceil(torch.floor(position / ratio) * ratio).long() - start
            held = dry[taken.clamp(0, dry.numel() - 1)]
        return torch.round(held.double() * self.steps).clamp(-self.steps, self.steps - 1) / self.steps
