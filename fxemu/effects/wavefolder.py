"""A wavefolder: samples beyond full scale are folded back instead of clipped."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from fxemu.effects.base import Effect
from fxemu.effects.oversampling import oversampled, resampling_memory_s
from fxemu.errors import check_choice, check_range

# Period 4, slope 1 or pi / 2 at 0, and 1 at x = 1: half a wave before the first fold.
FOLDS: dict[str, Callable[[Tensor], Tensor]] = {
    "triangle": lambda x: 1 - (x - 1 - 4 * torch.floor((x + 1) / 4)).abs(),
    "sine": lambda x: torch.sin(math.pi / 2 * x),
}


class Wavefolder(Effect):
    """wet = fold(gain * dry + bias) - fold(bias), as in Buchla's and Serge's synthesizers.

    Args:
        drive_db: gain before the folds, 0 to 40 dB.
        bias: shifts the folds against each other, -1 to 1; 0 makes odd harmonics only.
        shape: triangle or sine.
        oversampling: 1, 2, 4 or 8 times the sample rate.
    """

    def __init__(
        self, drive_db: float = 12.0, bias: float = 0.0, shape: str = "triangle", oversampling: int = 1
    ) -> None:
        check_range("drive_db", drive_db, 0, 40, "dB")
        check_range("bias", bias, -1, 1)
        check_choice("shape", shape, FOLDS)
        self.gain, self.bias, self.fold, self.oversampling = 10 ** (drive_db / 20), bias, FOLDS[shape], oversampling
        self.memory_s = resampling_memory_s(oversampling)

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        rest = self.fold(torch.tensor(self.bias))
        return oversampled(lambda x: self.fold(x + self.bias) - rest, self.gain * dry, self.oversampling)
