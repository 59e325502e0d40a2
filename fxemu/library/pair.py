"""A dry signal and its wet one: a song through an effect, or two recordings."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor


@dataclass(frozen=True)
class Pair:
    """A named pair of dry and wet, float32 (samples,) each.

    `knobs` are the positions of the effect's knobs, (K,), or (K, samples) if they move, -1 to 1; None without, or at
    their defaults.
    """

    name: str
    dry: Tensor
    wet: Tensor
    knobs: Tensor | None = None

    def middle(self, samples: int) -> Pair:
        """The middle of the pair, at most `samples` long."""
        part = slice(start := max(0, (self.dry.numel() - samples) // 2), start + samples)
        return replace(self, dry=self.dry[part], wet=self.wet[part])

    def start(self, samples: int) -> Pair:
        """The start of the pair, at most `samples` long."""
        return replace(self, dry=self.dry[:samples], wet=self.wet[:samples])
