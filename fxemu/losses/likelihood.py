"""The likelihood under the output representation, and the evaluation of any loss."""

from __future__ import annotations

from torch import Tensor, nn

from fxemu.losses.combined import WeightedSum


class Likelihood(nn.Module):
    """The mean negative log-likelihood of the target under the predicted parameters (see `representations`).

    Squared error for raw and mu-law samples, Bernoulli for bits, cross-entropy for classes, cross-entropy and the
    squared error of the offset for classes with a residual. As it needs the parameters, it has no `forward`.
    """


def evaluate_loss(loss: nn.Module, prediction: Tensor, target: Tensor, likelihood: Tensor) -> Tensor:
    """Evaluate a loss of prediction and target, each (B, 1, T); `likelihood` is `Likelihood`'s value, a scalar."""
    if isinstance(loss, Likelihood):
        return likelihood
    if isinstance(loss, WeightedSum):
        terms = (w * evaluate_loss(loss.losses[n], prediction, target, likelihood) for n, w in loss.weights.items())
        return sum(terms)
    return loss(prediction, target)
