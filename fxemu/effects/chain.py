"""Effects made of other effects: in series, or in parallel with a mix."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from fxemu.effects.base import Effect
from fxemu.errors import check_range


class Chain(Effect):
    """Effects in series, the first one first.

    Args:
        effects: at least one.
    """

    def __init__(self, effects: Sequence[Effect]) -> None:
        self.effects = _checked_effects(effects)
        memories = [effect.memory_s for effect in self.effects]
        # Twice the sum: a later effect may amplify the tail of an earlier one.
        self.memory_s = None if None in memories else 2 * sum(memories)

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        for effect in self.effects:
            dry = effect(dry, sample_rate, start)
        return dry


class Parallel(Effect):
    """wet = (1 - mix) dry + mix (mean of the effects of dry).

    Args:
        effects: at least one.
        mix: 0 (dry) to 1 (effects alone).
    """

    def __init__(self, effects: Sequence[Effect], mix: float = 0.5) -> None:
        check_range("mix", mix, 0, 1)
        self.effects, self.mix = _checked_effects(effects), mix
        memories = [effect.memory_s for effect in self.effects]
        self.memory_s = None if None in memories else max(memories)

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        branches = [effect(dry, sample_rate, start) for effect in self.effects]
        return (1 - self.mix) * dry + self.mix * sum(branches) / len(branches)


def _checked_effects(effects: Sequence[Effect]) -> list[Effect]:
    if not isinstance(effects, Sequence) or not effects or not all(isinstance(effect, Effect) for effect in effects):
        raise ValueError(f"effects: got {effects!r}; must be a list of one effect or more, each with its _target_")
    if not all(effect.replayable for effect in effects):
        raise ValueError("effects: recordings cannot be part of another effect; record the whole of it")
    return list(effects)
