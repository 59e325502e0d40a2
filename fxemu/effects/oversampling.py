"""Oversampling: nonlinear functions evaluated at a multiple of the sample rate, so that harmonics do not alias."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torchaudio import functional as AF

from fxemu.engine.oversampling import FACTORS
from fxemu.errors import check_choice

# Zero crossings on either side of the resampling filter, in samples of the lower rate, and the shape of its window.
HALF, BETA = 16, 8.0


def oversampled(function: Callable[[Tensor], Tensor], x: Tensor, factor: int) -> Tensor:
    """function(x) computed at `factor` times the rate of x (samples,), without latency; float32 if factor is not 1.

    The filters are linear-phase with their delay taken out, so wet then depends on dry up to 2 HALF samples ahead.
    """
    if factor == 1:
        return function(x)
    return _resample(function(_resample(x, 1, factor)), factor, 1)[: x.numel()]


def _resample(x: Tensor, old: int, new: int) -> Tensor:
    # In float32, since torch convolves float64 far more slowly.
    return AF.resample(x.float(), old, new, HALF, rolloff=1.0, resampling_method="sinc_interp_kaiser", beta=BETA)


def resampling_memory_s(factor: int) -> float:
    """Length in s of the resampling filters, at 8 kHz or above; ValueError for a factor that is not one of FACTORS."""
    check_choice("oversampling", factor, FACTORS)
    return 0.0 if factor == 1 else 2 * HALF / 8000
