"""A dry signal and its wet one: a song through an effect, or two recordings."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Pair:
    """A named pair of dry and wet, float32 (samples,) each."""

    name: str
    dry: Tensor
    wet: Tensor

    def middle(self, samples: int) -> Pair:
        """The middle of the pair, at most `samples` long."""
        part = slice(start := max(0, (self.dry.numel() - samples) // 2), start + samples)
        return Pair(self.name, self.dry[part], self.wet[part])

    def start(self, samples: int) -> Pair:
        """The start of the pair, at most `samples` long."""
        return Pair(self.name, self.dry[:samples], self.wet[:samples])
