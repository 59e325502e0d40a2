"""An effect with knobs: the same effect, made anew for each setting; and settings that are spread evenly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product

import numpy as np
import torch
from torch import Tensor

from fxemu.effects.base import Effect
from fxemu.models.knobs import Knob, positions, values

# Corners of the settings at which an effect is tried, at most: all of up to 4 knobs.
CORNERS = 16
# Settings that are reported on.
HELD_OUT = 16


class Turned(Effect):
    """An effect with knobs; called as it is, they stand at their defaults.

    Args:
        build: makes the effect, given settings by name.
        knobs: at least one.

    Raises:
        ValueError: from `build`, for a range that the effect does not take.
    """

    def __init__(self, build: Callable[[Mapping[str, float | Tensor]], Effect], knobs: Sequence[Knob]) -> None:
        self.build, self.knobs = build, tuple(knobs)
        corners = product(*[(knob.low, knob.high) for knob in self.knobs]) if 2 ** len(knobs) <= CORNERS else (
            [knob.low for knob in self.knobs], [knob.high for knob in self.knobs])  # fmt: skip
        made = [build(dict(zip((knob.name for knob in knobs), corner, strict=True))) for corner in corners]
        memories = [effect.memory_s for effect in made]
        self.memory_s = None if None in memories else max(memories)
        self.default = self.at(positions(self.knobs, {}))
        self.rate_hz, self.replayable = self.default.rate_hz, self.default.replayable
        self.tracked = self.default.tracked

    def at(self, position: Tensor | None) -> Effect:
        return self.default if position is None else self.build(values(self.knobs, position))

    def moving(self, position: Tensor) -> Effect:
        """The effect with its knobs at positions (K, samples), -1 to 1, for a dry signal as long; if it `follows`."""
        return self.build({knob.name: knob.track(row) for knob, row in zip(self.knobs, position, strict=True)})

    def identity(self) -> str | None:
        return self.default.identity()

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        return self.default.process(dry, sample_rate, start)


def latin_hypercube(count: int, knobs: int, generator: np.random.Generator) -> Tensor:
    """Positions (count, knobs), -1 to 1: of each knob one in each of `count` equal parts of its range."""
    strata = np.stack([generator.permutation(count) for _ in range(knobs)], axis=1)
    return torch.from_numpy(2 * (strata + generator.random(strata.shape)) / count - 1).float()


def spread_settings(count: int, knobs: int, generator: np.random.Generator) -> Tensor:
    """Settings (count, knobs), -1 to 1: the corners, unless they are many, and a Latin hypercube."""
    corners = list(product((-1.0, 1.0), repeat=knobs)) if 2**knobs <= min(CORNERS, count // 2) else []
    inner = latin_hypercube(count - len(corners), knobs, generator)
    return torch.cat([torch.tensor(corners).view(-1, knobs), inner])


def held_out_settings(count: int, knobs: int, seed: int) -> Tensor:
    """Settings (count, knobs) to validate and report on, of no use in training: drawn anew they never come up."""
    return latin_hypercube(count, knobs, np.random.default_rng((seed, 2**32)))
