"""Losses, (prediction, target) to a scalar: each class has an option file in `conf/loss`."""

from fxemu.losses.combined import WeightedSum
from fxemu.losses.spectral import MRSTFT, AWeightedESR, LogMel
from fxemu.losses.waveform import DC, ESR, MuLawMSE, PreemphasisESR

__all__ = ["DC", "ESR", "MRSTFT", "AWeightedESR", "LogMel", "MuLawMSE", "PreemphasisESR", "WeightedSum"]
