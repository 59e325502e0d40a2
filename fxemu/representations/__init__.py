"""Representations: one file each, all with the protocol of `base.Representation`."""

from fxemu.representations.base import Representation
from fxemu.representations.binary import Binary
from fxemu.representations.mulaw import MuLaw
from fxemu.representations.onehot import OneHot, OneHotResidual
from fxemu.representations.raw import Raw

__all__ = ["Binary", "MuLaw", "OneHot", "OneHotResidual", "Raw", "Representation"]
