"""Trivial predictors to compare a score with, fitted without gradient.

Each is fitted on training songs and applied to others; songs are (dry, wet) pairs of (samples,).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.fft import irfft, next_fast_len, rfft
from scipy.linalg import solve_toeplitz
from scipy.signal import oaconvolve
from torch import Tensor
from torch.nn import functional as F

Pair = tuple[Tensor, Tensor]
Baseline = Callable[[Tensor, Tensor], Tensor]
# Added to the autocorrelation at lag 0, as a share of it.
RIDGE = 1e-9


def copy_last(dry: Tensor, wet: Tensor) -> Tensor:
    """wet[t-1] for wet[t]: no free run, since it uses the true past, but the measure of a one-step error."""
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
    auto, cross = np.zeros(taps), np.zeros(taps)
    for dry, wet in pairs:
        size = next_fast_len(dry.numel() + taps - 1, real=True)
        dry_spectrum, wet_spectrum = (rfft(x.double().numpy(), size) for x in (dry, wet))
        auto += irfft(np.abs(dry_spectrum) ** 2, size)[:taps]
        cross += irfft(wet_spectrum * dry_spectrum.conj(), size)[:taps]
    auto[0] *= 1 + RIDGE
    filter_ = solve_toeplitz(auto, cross)
    return lambda dry, wet: torch.from_numpy(oaconvolve(dry.double().numpy(), filter_)[: dry.numel()]).to(dry.dtype)
