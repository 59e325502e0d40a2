"""No effect at all: what any predictor must be able to learn."""

from __future__ import annotations

from torch import Tensor

from fxemu.effects.base import Effect


class Passthrough(Effect):
    """wet = dry."""

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        return dry.clone()
