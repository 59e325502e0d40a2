"""Predictors: one file each, all with the protocol of `base.Predictor`."""

from fxemu.models.base import Predictor
from fxemu.models.convnet import ConvNet
from fxemu.models.dynamics import Dynamics
from fxemu.models.linear import Linear
from fxemu.models.lru import LRU
from fxemu.models.mlp import MLP
from fxemu.models.octave_gain import OctaveGain
from fxemu.models.oscillator import Oscillator
from fxemu.models.periodic_filter import PeriodicFilter
from fxemu.models.recurrent import GRU, LSTM
from fxemu.models.wavenet import WaveNet

# The name of `OctaveGain` in the runs of earlier versions.
Auto = OctaveGain

__all__ = [
    "GRU",
    "LRU",
    "LSTM",
    "MLP",
    "ConvNet",
    "Dynamics",
    "Linear",
    "OctaveGain",
    "Oscillator",
    "PeriodicFilter",
    "Predictor",
    "WaveNet",
]
