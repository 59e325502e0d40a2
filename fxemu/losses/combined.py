"""A weighted sum of losses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import nn


class WeightedSum(nn.Module):
    """The sum of `weight * loss` over its terms, evaluated by `evaluate_loss`.

    Args:
        terms: by name, each a mapping of `weight` (0 leaves the term out, else above 0) and `loss` (a module).
    """

    def __init__(self, terms: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__()
        for name, term in terms.items():
            if not 0 <= term["weight"] < math.inf:
                raise ValueError(f"loss.terms.{name}.weight: got {term['weight']}; must be 0 or more")
        self.weights = {name: float(term["weight"]) for name, term in terms.items() if term["weight"] > 0}
        if not self.weights:
            raise ValueError("loss.terms: every weight is 0; at least one must be above 0")
        self.losses = nn.ModuleDict({name: terms[name]["loss"] for name in self.weights})
