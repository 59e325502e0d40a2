"""fxemu trains a neural network to be an audio effect."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fxemu.emulation import Emulation

__version__ = "0.1.0"


def load(path: str | os.PathLike[str]) -> Emulation:
    """Load a trained emulation: `fxemu.load(run)(dry, sample_rate)` is wet; see `fxemu.emulation.load`."""
    # Imported here, so that `import fxemu` is fast.
    from fxemu.emulation import load

    return load(path)
