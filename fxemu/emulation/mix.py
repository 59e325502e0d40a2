"""Input gain, dry/wet mix and output gain around a model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fxemu.audio.resampling import Array
from fxemu.errors import UserError

GAIN_RANGE_DB = 60.0


class MixError(UserError):
    """An option of rendering or playing live is out of range; the message states the range."""


def finite(samples: Array) -> Array:
    """The samples, those that are NaN or infinite as 0."""
    return np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)


@dataclass(frozen=True)
class Mix:
    """Gains and dry/wet mix, as `fxemu render` and `fxemu live` take them.

    Args:
        wet_share: of the output, 0 (dry alone) to 1.
        input_gain_db, output_gain_db: before the model, and of the output; -60 to 60 dB.
    """

    wet_share: float = 1.0
    input_gain_db: float = 0.0
    output_gain_db: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.wet_share <= 1:
            raise MixError(f"--mix: got {self.wet_share}; must be from 0 (dry) to 1 (wet)")
        for name in ("input_gain_db", "output_gain_db"):
            if not abs(getattr(self, name)) <= GAIN_RANGE_DB:
                option = f"--{name.replace('_', '-')}"
                raise MixError(f"{option}: got {getattr(self, name)}; must be from -60 to 60 dB")

    def model_input(self, dry: Array) -> Array:
        """Dry after the input gain."""
        return dry * np.float32(10 ** (self.input_gain_db / 20))

    def output(self, dry: Array, wet: Array) -> Array:
        """The mix of wet with dry before the input gain, after the output gain."""
        mixed = np.float32(self.wet_share) * wet + (1 - self.wet_share) * dry
        return np.float32(10 ** (self.output_gain_db / 20)) * mixed
