"""Mu-law companded samples: continuous, not quantised."""

from __future__ import annotations

import torch
from torch import Tensor

from fxemu.activations import activate
from fxemu.plan import Activation, Plan, Term
from fxemu.representations.base import Representation


class MuLaw(Representation):
    """One float a sample, near-logarithmic in amplitude, so that quiet samples are as wide as loud ones.

    Args:
        mu: companding strength, from 1 (mild) to 65535; 255 is the telephone standard (ITU-T G.711).
    """

    channels = 1
    params = 1

    def __init__(self, mu: float = 255.0) -> None:
        if not 1 <= mu <= 65535:
            raise ValueError(f"mu: got {mu}; must be from 1 to 65535")
        self.compress = Activation("mulaw_compress", float(mu))
        self.expand = Activation("mulaw_expand", float(mu))

    def encode(self, samples: Tensor) -> Tensor:
        return activate(samples, self.compress)

    def decode(self, params: Tensor) -> Tensor:
        return activate(params, self.expand)

    def plan_encode(self, plan: Plan, samples: int) -> int:
        return plan.add(Term(samples, torch.ones(1, 1, 1)), activation=self.compress)

    def plan_decode(self, plan: Plan, params: int) -> int:
        return plan.add(Term(params, torch.ones(1, 1, 1)), activation=self.expand)
