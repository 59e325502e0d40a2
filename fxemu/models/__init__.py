"""Predictors: one file each, all with the protocol of `base.Predictor`."""

from fxemu.models.auto import Auto
from fxemu.models.base import Predictor
from fxemu.models.convnet import ConvNet
from fxemu.models.dynamics import Dynamics
from fxemu.models.linear import Linear
from fxemu.models.lru import LRU
from fxemu.models.mlp import MLP
from fxemu.models.oscillator import Oscillator
from fxemu.models.periodic_filter import PeriodicFilter
from fxemu.models.recurrent import GRU, LSTM
from fxemu.models.wavenet import WaveNet

__all__ = [
    "GRU",
    "LRU",
    "LSTM",
    "MLP",
    "Auto",
    "ConvNet",
    "Dynamics",
    "Linear",
    "Oscillator",
    "PeriodicFilter",
    "Predictor",
    "WaveNet",
]
