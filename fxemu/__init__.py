"""fxemu trains a neural network to be an audio effect."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fxemu.emulation import Emulation

__version__ = "0.1.0"


def load(path: str | os.PathLike[str]) -> Emulation:
    """A trained emulation to play with: `fxemu.load(run)(dry, sample_rate)`; see `fxemu.emulation.emulation`."""
    # Imported here, so that `import fxemu` costs nothing.
    from fxemu.emulation import load

    return load(path)
