"""Raw samples: linear amplitude, one float each."""

from __future__ import annotations

from torch import Tensor

from fxemu.engine.plan import Plan
from fxemu.representations.base import Representation


class Raw(Representation):
    """One float a sample, linear in amplitude: an error counts the same on a loud and on a quiet sample."""

    plain_samples = adds = True
    channels = 1
    params = 1

    def native_loss(self, params: Tensor, target: Tensor) -> Tensor:
        """Mean squared error: a Gaussian of fixed width."""
        return (params - target).square().mean()

    def plan_encode(self, plan: Plan, samples: int) -> int:
        return samples

    def plan_decode(self, plan: Plan, params: int) -> int:
        return params
