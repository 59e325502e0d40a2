"""Emulations, the trained models in use: find, load, render and play them live."""

from fxemu.emulation.emulation import Emulation, load

__all__ = ["Emulation", "load"]
