"""Representations: one file each, all with the protocol of `base.Representation`."""

from fxemu.representations.base import Representation
from fxemu.representations.mulaw import MuLaw
from fxemu.representations.raw import Raw

__all__ = ["MuLaw", "Raw", "Representation"]
