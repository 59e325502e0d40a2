"""How samples enter and leave a predictor.

Shapes: B batch, C feature channels a sample, P parameters a sample, T samples.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from fxemu.engine.activations import activate
from fxemu.engine.feedforward import evaluate
from fxemu.engine.plan import DRY, IDENTITY, Activation, Plan


class Representation(nn.Module, ABC):
    """Encodes samples into features and decodes predicted parameters into samples, both differentiably."""

    channels: int
    params: int
    # Whether features and parameters are the samples themselves.
    plain_samples = False
    # Whether the last parameter is added to the sample as it is.
    adds = False
    # Units that a predictor should put between a sample and its windows, where the features are far from linear.
    embedding_units = 0
    # Companding of the amplitude, in and out.
    compress: Activation = IDENTITY
    expand: Activation = IDENTITY

    def encode(self, samples: Tensor) -> Tensor:
        """Samples (B, 1, T) to features (B, C, T), with gradient: `plan_encode`, evaluated."""
        plan = Plan()
        return _evaluated(plan, self.plan_encode(plan, DRY), samples)

    def decode(self, params: Tensor) -> Tensor:
        """Parameters (B, P, T) to samples (B, 1, T), with gradient: `plan_decode`, evaluated."""
        plan = Plan(channels=self.params)
        return _evaluated(plan, self.plan_decode(plan, DRY), params)

    def disturb(self, samples: Tensor, noise: Tensor) -> Tensor:
        """Samples (B, 1, T) with noise (B, 1, T) added in the companded domain."""
        return activate(activate(samples, self.compress) + noise, self.expand)

    @abstractmethod
    def native_loss(self, params: Tensor, target: Tensor) -> Tensor:
        """The mean negative log-likelihood of target samples (B, 1, T) under parameters (B, P, T), or a surrogate."""

    @abstractmethod
    def plan_encode(self, plan: Plan, samples: int) -> int:
        """Append the steps from the value `samples` to features; return the number of their value."""

    @abstractmethod
    def plan_decode(self, plan: Plan, params: int) -> int:
        """Append the steps from the value `params` to samples; return the number of their value."""


def _evaluated(plan: Plan, value: int, inputs: Tensor) -> Tensor:
    return evaluate(plan, {DRY: inputs}, {value})[value]
