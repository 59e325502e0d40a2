"""Hysteresis: a saturation that depends on where the signal came from, as in tape and transformer cores."""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from fxemu.effects.base import Effect
from fxemu.effects.oversampling import oversampled, resampling_memory_s
from fxemu.errors import check_range


class Hysteresis(Effect):
    """tanh of the mean of play operators of several widths, the Prandtl-Ishlinskii model (Visintin 1994).

    A play operator of radius r follows its input only when it is pushed, p = max(u - r, min(u + r, p)), so up and
    down strokes lie 2 r apart. Its memory is of extremes and does not fade with time, so it needs the whole song.

    Args:
        drive_db: gain before the operators, 0 to 40 dB.
        width: radius of the widest operator, 0 to 1; the others are spread evenly from 0.
        oversampling: 1, 2, 4 or 8 times the sample rate.
    """

    memory_s = None
    OPERATORS = 8

    def __init__(self, drive_db: float = 12.0, width: float = 0.4, oversampling: int = 1) -> None:
        check_range("drive_db", drive_db, 0, 40, "dB")
        check_range("width", width, 0, 1)
        resampling_memory_s(oversampling)
        self.gain, self.oversampling = 10 ** (drive_db / 20), oversampling
        self.radii = np.linspace(0, width, self.OPERATORS, dtype=np.float32)

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        def stage(x: Tensor) -> Tensor:
            return torch.tanh(torch.from_numpy(mean_play(x.numpy(), self.radii)))

        return oversampled(stage, self.gain * dry, self.oversampling)


@njit(cache=True)
def mean_play(driven: NDArray, radii: NDArray) -> NDArray:
    """The mean (samples,) of play operators, one a radius, all starting from rest."""
    mean = np.zeros_like(driven)
    places = np.zeros_like(radii)
    for n in range(driven.size):
        for k in range(radii.size):
            places[k] = max(driven[n] - radii[k], min(driven[n] + radii[k], places[k]))
            mean[n] += places[k]
    return mean / radii.size
