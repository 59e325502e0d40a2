"""Losses over predicted and true wet samples, each a module over a pure function: (B, 1, T) twice to a scalar."""

from __future__ import annotations

from torch import Tensor, nn

from fxemu.activations import mulaw_compress


def mulaw_mse(prediction: Tensor, target: Tensor, mu: float = 255.0) -> Tensor:
    """Mean squared error in mu-law space: a quiet sample's error counts far more than a loud one's."""
    return (mulaw_compress(prediction, mu) - mulaw_compress(target, mu)).square().mean()


def esr(prediction: Tensor, target: Tensor, floor: float = 1e-4) -> Tensor:
    """Error-to-signal ratio of the batch: sum(e^2) / sum(y^2) (Wright et al. 2019, without pre-emphasis).

    `floor` is added to the mean square of the target, so that a silent batch does not divide by zero.
    """
    return (prediction - target).square().mean() / (target.square().mean() + floor)


class MuLawMSE(nn.Module):
    """`mulaw_mse`.

    Args:
        mu: companding strength, 1 to 65535.
    """

    def __init__(self, mu: float = 255.0) -> None:
        super().__init__()
        if not 1 <= mu <= 65535:
            raise ValueError(f"mu: got {mu}; must be from 1 to 65535")
        self.mu = mu

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return mulaw_mse(prediction, target, self.mu)


class ESR(nn.Module):
    """`esr`.

    Args:
        floor: added to the target's mean square, above 0.
    """

    def __init__(self, floor: float = 1e-4) -> None:
        super().__init__()
        if not floor > 0:
            raise ValueError(f"floor: got {floor}; must be above 0")
        self.floor = floor

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return esr(prediction, target, self.floor)
