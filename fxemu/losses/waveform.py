"""Losses over samples, each a module over a pure function: prediction and target (B, 1, K) to a scalar."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from fxemu.engine.activations import mulaw_compress
from fxemu.errors import check_range


def mulaw_mse(prediction: Tensor, target: Tensor, mu: float = 255.0) -> Tensor:
    """Mean squared error after mu-law companding, which weights errors of quiet samples far more than of loud ones."""
    return (mulaw_compress(prediction, mu) - mulaw_compress(target, mu)).square().mean()


def esr(prediction: Tensor, target: Tensor, floor: float = 1e-4) -> Tensor:
    """Error-to-signal ratio of the batch: sum(e^2) / sum(y^2) (Wright et al. 2019, without pre-emphasis).

    `floor` is added to the mean square of the target, so that a silent batch does not divide by zero.
    """
    return (prediction - target).square().mean() / (target.square().mean() + floor)


def preemphasis_esr(prediction: Tensor, target: Tensor, coefficient: float = 0.85, floor: float = 1e-4) -> Tensor:
    """`esr` after x[t] - coefficient * x[t-1], which weights treble (Wright et al. 2019).

    The error before a segment is taken as 0, as it is in a rollout, which starts from the truth.
    """
    return esr(*(x - coefficient * F.pad(x, (1, -1)) for x in (prediction, target)), floor)


def dc(prediction: Tensor, target: Tensor, floor: float = 1e-4) -> Tensor:
    """Each segment's mean error squared, over the mean square of the target (Wright et al. 2019).

    Segments shorter than a period of the bass have a mean: add this to another loss, with a low weight.
    """
    return (prediction - target).mean(dim=-1).square().mean() / (target.square().mean() + floor)


class MuLawMSE(nn.Module):
    """Mean squared error after mu-law companding, `mulaw_mse`.

    Args:
        mu: companding strength, 1 to 65535.
    """

    def __init__(self, mu: float = 255.0) -> None:
        super().__init__()
        check_range("mu", mu, 1, 65_535)
        self.mu = mu

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return mulaw_mse(prediction, target, self.mu)


class FlooredLoss(nn.Module):
    """Base of losses that divide or take logarithms, kept finite by a floor.

    Args:
        floor: added to the target's mean square, above 0.
    """

    def __init__(self, floor: float = 1e-4) -> None:
        super().__init__()
        if not floor > 0:
            raise ValueError(f"floor: got {floor}; must be above 0")
        self.floor = floor


class ESR(FlooredLoss):
    """Error-to-signal ratio, `esr`; its arguments are those of `FlooredLoss`."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return esr(prediction, target, self.floor)


class PreemphasisESR(FlooredLoss):
    """Error-to-signal ratio after pre-emphasis, `preemphasis_esr`.

    Args:
        coefficient: of the sample before, 0 (none) to below 1.
        floor: added to the filtered target's mean square, above 0.
    """

    def __init__(self, coefficient: float = 0.85, floor: float = 1e-4) -> None:
        super().__init__(floor)
        if not 0 <= coefficient < 1:
            raise ValueError(f"coefficient: got {coefficient}; must be from 0 to below 1")
        self.coefficient = coefficient

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return preemphasis_esr(prediction, target, self.coefficient, self.floor)


class DC(FlooredLoss):
    """Squared mean error, `dc`; its arguments are those of `FlooredLoss`."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return dc(prediction, target, self.floor)
