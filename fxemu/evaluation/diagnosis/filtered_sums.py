"""Least squares of wet as a sum of filtered signals: one solver for curves, for filters that follow, for any of these.

Shapes: T samples, I inputs, N taps.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from scipy.signal import oaconvolve
from torch import Tensor
from torch.nn import functional as F

RIDGE = 1e-7  # of each input's energy, added to the diagonal
FRAME = 8  # times N samples are transformed at once


def fit_filters(inputs: Sequence[Tensor], wet: Tensor, taps: int) -> Tensor:
    """Causal filters (I, N) float64 whose outputs for the inputs (T,) add up to the nearest to wet (T,)."""
    count, length = len(inputs), FRAME * taps
    signals = torch.stack([*inputs, wet]).double()
    padded = F.pad(signals, (taps, -signals.shape[1] % length + taps))
    around = torch.fft.rfft(padded.unfold(1, length + 2 * taps, length), dim=2)
    inner = F.pad(padded[:, taps:-taps].unfold(1, length, length), (taps, taps))
    spectra = torch.fft.rfft(inner, dim=2)
    # (frequency, input, other) of sums over frames: lags of each input against the others, and of wet against each.
    cross = torch.einsum("ifk,jfk->kij", around, spectra.conj())
    lags = torch.fft.irfft(cross, length + 2 * taps, dim=0)
    # lags[l, i, j] is the sum over t of signal i at t + l times signal j at t.
    place = torch.arange(taps)[:, None] - torch.arange(taps)
    matrix = lags[place, :count, :count].permute(3, 0, 2, 1).reshape(count * taps, count * taps)
    right = lags[:taps, count, :count].mT.reshape(-1)
    raised = matrix + RIDGE * torch.diag(matrix.diagonal()) + 1e-12 * torch.eye(count * taps, dtype=matrix.dtype)
    return torch.linalg.solve(raised, right).view(count, taps)


def filtered(dry: Tensor, taps: Tensor) -> Tensor:
    """dry (T,) through a causal filter (N,) from silence: (T,) float64."""
    return torch.from_numpy(oaconvolve(dry.double().numpy(), taps.double().numpy())[: dry.numel()])


def sum_of_filters(inputs: Sequence[Tensor], wet: Tensor, taps: int) -> Tensor:
    """The nearest to wet (T,) that filters of N taps make of the inputs (T,) together."""
    return sum(filtered(x, h) for x, h in zip(inputs, fit_filters(inputs, wet, taps), strict=True))
