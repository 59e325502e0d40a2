"""The output representation's own loss, and how any loss is evaluated."""

from __future__ import annotations

from torch import Tensor, nn

from fxemu.losses.combined import WeightedSum


class Likelihood(nn.Module):
    """The mean negative log-likelihood of the target under the predicted parameters (see `representations`).

    Squared error for raw and mu-law samples, Bernoulli for bits, cross-entropy for classes, cross-entropy and the
    squared error of the offset for classes with a residual. It needs the parameters: use `evaluate_loss`.
    """


def evaluate_loss(loss: nn.Module, prediction: Tensor, target: Tensor, likelihood: Tensor) -> Tensor:
    """A loss of prediction and target, each (B, 1, T); `likelihood` is the representation's own, a scalar."""
    if isinstance(loss, Likelihood):
        return likelihood
    if isinstance(loss, WeightedSum):
        terms = (w * evaluate_loss(loss.losses[n], prediction, target, likelihood) for n, w in loss.weights.items())
        return sum(terms)
    return loss(prediction, target)
