"""Gains and mix around an emulation, as `fxemu render` and `fxemu live` have them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fxemu.audio.resampling import Array
from fxemu.errors import UserError

GAIN_RANGE_DB = 60.0


class MixError(UserError):
    """A gain or a mix out of range; the message says what may be."""


@dataclass(frozen=True)
class Mix:
    """How the song and the model's output become the result.

    Args:
        mix: share of wet in it, 0 (dry alone) to 1.
        input_gain_db, output_gain_db: on what the model hears, and on the result; -60 to 60 dB.
    """

    mix: float = 1.0
    input_gain_db: float = 0.0
    output_gain_db: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.mix <= 1:
            raise MixError(f"--mix: got {self.mix}; must be from 0 (dry) to 1 (wet)")
        for name in ("input_gain_db", "output_gain_db"):
            if not abs(getattr(self, name)) <= GAIN_RANGE_DB:
                option = f"--{name.replace('_', '-')}"
                raise MixError(f"{option}: got {getattr(self, name)}; must be from -60 to 60 dB")

    def heard(self, dry: Array) -> Array:
        """What goes into the model."""
        return dry * np.float32(10 ** (self.input_gain_db / 20))

    def result(self, dry: Array, wet: Array) -> Array:
        """What comes out: dry is as it was before the input gain."""
        return np.float32(10 ** (self.output_gain_db / 20)) * (np.float32(self.mix) * wet + (1 - self.mix) * dry)
