"""Rows of a table at places in [-1, 1], in PyTorch (see `plan.Lookup`)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def look_up(table: Tensor, place: Tensor, nearest: bool) -> Tensor:
    """Rows of `table` (C, U) at `place` (B, 1, T) in [-1, 1]: (B, U, T)."""
    low, share = row_below(place[:, 0], table.shape[0])
    share = share[..., None]
    if nearest:
        between = F.embedding(low + (share[..., 0] > 0.5), table)
        if place.requires_grad:
            # The nearest row's value, with the gradient to the place of the interpolation.
            between = between + (share - share.detach()) * (table[low + 1] - table[low]).detach()
    else:
        between = table[low] + share * (table[low + 1] - table[low])
    return between.transpose(1, 2)


def row_below(place: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """The number of the row below each place in [-1, 1], and the share of the way from it to the next, 0 to 1."""
    position = (place.clamp(-1, 1) + 1) * ((rows - 1) / 2)
    low = position.detach().floor().clamp(0, rows - 2).long()
    return low, position - low
