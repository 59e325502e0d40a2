"""A layer over one sample at a time."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Pointwise(nn.Conv1d):
    """A 1x1 convolution, (B, W, T) to (B, U, T), as one matrix product a stream.

    On a CPU, training is faster than with PyTorch's own convolution.

    Args:
        channels: W.
        units: U.
        bias: whether a number is added to each unit.
    """

    def __init__(self, channels: int, units: int, bias: bool = True) -> None:
        super().__init__(channels, units, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight[..., 0].expand(x.shape[0], -1, -1)
        return weight @ x if self.bias is None else torch.baddbmm(self.bias[None, :, None], weight, x)
