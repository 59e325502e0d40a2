"""A trained model afterwards: found, loaded, rendered and played live."""

from fxemu.emulation.emulation import Emulation, load

__all__ = ["Emulation", "load"]
