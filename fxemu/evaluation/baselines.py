"""What a score is worth: the error of predictors that need no training by gradient.

Each is fitted on training songs and applied to others; songs are (dry, wet) pairs of (samples,).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

Pair = tuple[Tensor, Tensor]
Baseline = Callable[[Tensor, Tensor], Tensor]


def copy_last(dry: Tensor, wet: Tensor) -> Tensor:
    """wet[t-1] for wet[t]: the true past, so no free run, yet it shows how little a one-step error says."""
    return F.pad(wet, (1, -1))


def best_gain(pairs: Sequence[Pair]) -> Baseline:
    """The constant gain on dry with the least squared error over the pairs."""
    gain = sum(dry.double() @ wet.double() for dry, wet in pairs) / sum(dry.double() @ dry.double() for dry, _ in pairs)
    return lambda dry, wet: (gain * dry).to(dry.dtype)


def best_fir(pairs: Sequence[Pair], taps: int) -> Baseline:
    """The causal linear filter of dry with the least squared error over the pairs.

    Solves the normal equations with the autocorrelation of dry and its cross-correlation with wet (the
    autocorrelation method: songs as if silent outside), lightly regularised.
    """
    auto, cross = torch.zeros(taps, dtype=torch.float64), torch.zeros(taps, dtype=torch.float64)
    for dry, wet in pairs:
        size = 1 << (dry.numel() + taps - 1).bit_length()
        spectrum, wet_spectrum = torch.fft.rfft(dry.double(), size), torch.fft.rfft(wet.double(), size)
        auto += torch.fft.irfft(spectrum.abs().square(), size)[:taps]
        cross += torch.fft.irfft(wet_spectrum * spectrum.conj(), size)[:taps]
    lags = torch.arange(taps)
    matrix = auto[(lags[:, None] - lags).abs()] + 1e-9 * auto[0] * torch.eye(taps, dtype=torch.float64)
    filter_ = torch.linalg.solve(matrix, cross)
    return lambda dry, wet: _filtered(dry, filter_)


def _filtered(dry: Tensor, taps: Tensor) -> Tensor:
    size = 1 << (dry.numel() + taps.numel() - 1).bit_length()
    product = torch.fft.rfft(dry.double(), size) * torch.fft.rfft(taps, size)
    return torch.fft.irfft(product, size)[: dry.numel()].to(dry.dtype)
