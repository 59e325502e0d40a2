"""Training losses, from prediction and target to a scalar: each class has an option file in `conf/loss`."""

from fxemu.losses.combined import WeightedSum
from fxemu.losses.likelihood import Likelihood, evaluate_loss
from fxemu.losses.spectral import MRSTFT, AWeightedESR, LogMel
from fxemu.losses.waveform import DC, ESR, MuLawMSE, PreemphasisESR

__all__ = [
    "DC",
    "ESR",
    "MRSTFT",
    "AWeightedESR",
    "Likelihood",
    "LogMel",
    "MuLawMSE",
    "PreemphasisESR",
    "WeightedSum",
    "evaluate_loss",
]
