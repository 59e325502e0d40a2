"""Predictors: one file each, all with the protocol of `base.Predictor`."""

from fxemu.models.base import Predictor
from fxemu.models.mlp import MLP

__all__ = ["MLP", "Predictor"]
