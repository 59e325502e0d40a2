"""No effect: wet equals dry, the least that a predictor must learn."""

from __future__ import annotations

from torch import Tensor

from fxemu.effects.base import Effect


class Passthrough(Effect):
    """wet = dry."""

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        return dry.clone()
