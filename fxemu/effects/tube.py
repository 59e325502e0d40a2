"""A tube stage: asymmetric saturation from a power supply that sags under load."""

from __future__ import annotations

import math

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from fxemu.effects.base import Effect
from fxemu.effects.filters import rc_highpass
from fxemu.effects.oversampling import oversampled, resampling_memory_s
from fxemu.errors import check_range


class Tube(Effect):
    """Algebraic saturation whose limits follow a supply that the stage's own output draws down.

    out = u / sqrt(1 + (u / limit)^2), u = gain dry, where the limit is the supply for positive u and (1 - asymmetry) of
    it for negative; d supply / dt = (1 - sag |out| - supply) / sag_ms. Then a coupling capacitor.

    Args:
        drive_db: gain before the saturation, 0 to 60 dB.
        asymmetry: how much lower the negative half saturates, 0 to 0.9.
        sag: share of the supply that full output takes, 0 to 0.9.
        sag_ms: time constant of the supply, 1 to 500 ms.
        highpass_hz: coupling capacitor after the stage, 5 to 500 Hz.
        oversampling: 1, 2, 4 or 8 times the sample rate for the stage.
    """

    def __init__(
        self,
        drive_db: float = 18.0,
        asymmetry: float = 0.4,
        sag: float = 0.3,
        sag_ms: float = 60.0,
        highpass_hz: float = 20.0,
        oversampling: int = 1,
    ) -> None:
        check_range("drive_db", drive_db, 0, 60, "dB")
        check_range("asymmetry", asymmetry, 0, 0.9)
        check_range("sag", sag, 0, 0.9)
        check_range("sag_ms", sag_ms, 1, 500, "ms")
        check_range("highpass_hz", highpass_hz, 5, 500, "Hz")
        self.gain, self.negative, self.sag, self.sag_s = 10 ** (drive_db / 20), 1 - asymmetry, sag, sag_ms / 1000
        self.highpass_hz, self.oversampling = highpass_hz, oversampling
        self.memory_s = 12 * self.sag_s + 2 / highpass_hz + resampling_memory_s(oversampling)

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        rate = -math.expm1(-1 / (self.sag_s * sample_rate * self.oversampling))

        def stage(x: Tensor) -> Tensor:
            return torch.from_numpy(saturate(x.numpy(), self.negative, self.sag, rate))

        wet = oversampled(stage, self.gain * dry, self.oversampling)
        return rc_highpass(wet, sample_rate, self.highpass_hz)


@njit(cache=True, error_model="numpy")
def saturate(driven: NDArray, negative: float, sag: float, rate: float) -> NDArray:
    """The saturated signal (samples,), limited to `supply` above 0 and to `negative * supply` below."""
    wet = np.empty_like(driven)
    supply = 1.0
    for n in range(driven.size):
        limit = supply if driven[n] > 0 else negative * supply
        wet[n] = driven[n] * limit / math.sqrt(limit * limit + driven[n] * driven[n])
        supply += rate * (1 - sag * abs(wet[n]) - supply)
    return wet
