"""How samples enter and leave a predictor.

Shapes: B batch, C feature channels a sample, P parameters a sample, T samples.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from fxemu.engine.activations import activate
from fxemu.engine.plan import IDENTITY, Activation, Plan


class Representation(nn.Module, ABC):
    """Encodes samples into features and decodes predicted parameters into samples, both differentiably."""

    channels: int
    params: int
    # Units that a predictor should put between a sample and its windows, where the features are far from linear.
    embedding_units = 0
    # How the amplitude is companded on the way in and out.
    compress: Activation = IDENTITY
    expand: Activation = IDENTITY

    @abstractmethod
    def encode(self, samples: Tensor) -> Tensor:
        """Samples (B, 1, T) to features (B, C, T)."""

    @abstractmethod
    def decode(self, params: Tensor) -> Tensor:
        """Parameters (B, P, T) to samples (B, 1, T)."""

    def disturb(self, samples: Tensor, noise: Tensor) -> Tensor:
        """Samples (B, 1, T) with noise (B, 1, T) added where they are companded, as a listener to features hears it."""
        return activate(activate(samples, self.compress) + noise, self.expand)

    @abstractmethod
    def native_loss(self, params: Tensor, target: Tensor) -> Tensor:
        """The mean negative log-likelihood of target samples (B, 1, T) under parameters (B, P, T), or its like."""

    @abstractmethod
    def plan_encode(self, plan: Plan, samples: int) -> int:
        """Append `encode` to a plan; return the number of the features' value."""

    @abstractmethod
    def plan_decode(self, plan: Plan, params: int) -> int:
        """Append `decode` to a plan; return the number of the samples' value."""
