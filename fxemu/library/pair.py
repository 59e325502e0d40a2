"""A song, or a recording, and what the effect made of it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Pair:
    """A song and what the effect makes of it: float32 (samples,) each."""

    name: str
    dry: Tensor
    wet: Tensor

    def middle(self, samples: int) -> Pair:
        """The middle of it, at most so many samples."""
        part = slice(start := max(0, (self.dry.numel() - samples) // 2), start + samples)
        return Pair(self.name, self.dry[part], self.wet[part])

    def start(self, samples: int) -> Pair:
        """The start of it, at most so many samples."""
        return Pair(self.name, self.dry[:samples], self.wet[:samples])
