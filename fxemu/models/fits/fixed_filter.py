"""The best fixed filter of some taps from dry to wet, by least squares.

Shapes: T samples, N taps (oldest first).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from scipy.fft import next_fast_len
from scipy.signal import oaconvolve
from torch import Tensor
from torch.nn import functional as F

Songs = Sequence[tuple[Tensor, Tensor]]
# Regularisation towards 0, where dry says little, as a share of the mean energy of a lag.
RIDGE = 1e-7


def fixed_filter(songs: Songs, taps: int) -> Tensor:
    """The best fixed filter (N,) float64."""
    matrix, right = _summed(songs, taps)
    return ridge_solution(matrix, right, RIDGE * float(matrix.diagonal().mean()) + 1e-12)


def _summed(songs: Songs, taps: int) -> tuple[Tensor, Tensor]:
    """The normal equations of one filter for all of the songs."""
    matrix, right = torch.zeros(taps, taps, dtype=torch.float64), torch.zeros(taps, dtype=torch.float64)
    for dry, wet in songs:
        x, y = (F.pad(side.double(), (taps, 1)) for side in (dry, wet))
        parts = normal_equations(x, y, torch.tensor([taps]), torch.tensor([taps + dry.numel()]), taps)
        matrix, right = matrix + parts[0], right + parts[1]
    return matrix, right


def filtered(dry: Tensor, taps: Tensor) -> Tensor:
    """dry (T,) through a filter (N,), oldest tap first, from silence: (T,) float64."""
    return torch.from_numpy(oaconvolve(dry.double().numpy(), taps.flip(0).numpy())[: dry.numel()])


def ridge_solution(matrix: Tensor, right: Tensor, least: float) -> Tensor:
    """Ridge regression from normal equations (N, N), (N,)."""
    raised = matrix + least * torch.eye(matrix.shape[0], dtype=matrix.dtype)
    return torch.cholesky_solve(right[:, None], torch.linalg.cholesky(raised))[:, 0]


def normal_equations(dry: Tensor, wet: Tensor, starts: Tensor, ends: Tensor, taps: int) -> tuple[Tensor, Tensor]:
    """Of windows of dry (N, oldest first) against wet, summed over all samples of the runs: (N, N), (N,)."""
    if not len(starts):
        # Songs shorter than a period do not reach every bin.
        return dry.new_zeros(taps, taps), dry.new_zeros(taps)
    span = torch.arange(int((ends - starts).max()))
    inside = span < (ends - starts)[:, None]
    now = starts[:, None] + span
    window = torch.arange(-taps, 0)
    reach = torch.arange(1 - taps, len(span))
    size = next_fast_len(len(reach), real=True)
    seen_dry = torch.fft.rfft(dry[starts[:, None] + reach], size)
    last, right = (
        torch.fft.irfft((seen_dry * torch.fft.rfft(x[now] * inside, size).conj()).sum(0), size)[:taps]
        for x in (dry, wet)
    )
    before, after = dry[starts[:, None] + window], dry[ends[:, None] + window]
    change = before.mT @ before - after.mT @ after
    matrix = torch.empty_like(change)
    matrix[-1], matrix[:, -1] = last, last
    for row in range(taps - 1, 0, -1):
        matrix[row - 1, :-1] = matrix[row, 1:] + change[row, 1:]
    return matrix, right
