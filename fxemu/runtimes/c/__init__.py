"""Models as C without dependencies, and what is compiled from it: C files and LV2 plugins."""

from fxemu.runtimes.c.format import C, source
from fxemu.runtimes.c.lv2 import Lv2

__all__ = ["C", "Lv2", "source"]
