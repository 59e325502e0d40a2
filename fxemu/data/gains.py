"""Gains on training songs, drawn anew as training goes on, so that the model meets quiet and loud playing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from fxemu.audio.tensors import amplify
from fxemu.effects import Effect

LOWEST_DB = -80.0
# Audio that goes through the effect anew in an epoch: 2 s of work for an effect at 60 times real time.
SECONDS_PER_EPOCH = 120.0


def check_gains(gain_db: Sequence[float]) -> None:
    """ValueError unless `gain_db` is a lowest and a highest gain, -80 to 0 dB."""
    try:
        low, high = map(float, gain_db)
    except (TypeError, ValueError):
        low = high = math.nan
    if not LOWEST_DB <= low <= high <= 0:
        raise ValueError(
            f"data.gain_db: got {gain_db}; must be the lowest and the highest gain, "
            f"two numbers from {LOWEST_DB:g} to 0 dB in rising order"
        )


class DrawnGains:
    """Songs at gains drawn evenly in dB; the effect comes after the gain, for its sound may depend on it.

    Songs take turns: in each epoch as many as hold SECONDS_PER_EPOCH of audio (one at least) get a new gain. Which
    gain a song has in which epoch depends on the seed alone, so a run that is resumed meets the same ones.

    Args:
        songs: (dry, wet) of each song at 0 dB, (samples,) each.
        effect: makes wet of dry.
        sample_rate: in Hz.
        gain_db: lowest and highest gain, -80 to 0 dB.
        seed: decides the gains.
    """

    def __init__(
        self,
        songs: Sequence[tuple[Tensor, Tensor]],
        effect: Effect,
        sample_rate: int,
        gain_db: Sequence[float],
        seed: int,
    ) -> None:
        check_gains(gain_db)
        self.full, self.effect, self.sample_rate = list(songs), effect, sample_rate
        self.gain_db, self.seed = gain_db, seed
        seconds = sum(dry.numel() for dry, _ in songs) / sample_rate
        self.turns = min(len(songs), math.ceil(seconds / SECONDS_PER_EPOCH))
        self._made: dict[int, tuple[float, tuple[Tensor, Tensor]]] = {i: (0.0, s) for i, s in enumerate(songs)}

    def drawn_db(self, song: int, epoch: int) -> float:
        """The gain of a song, by number, in an epoch."""
        draw = (epoch - song % self.turns) // self.turns + 1
        return float(np.random.default_rng((self.seed, song, draw)).uniform(*self.gain_db))

    def at(self, epoch: int) -> list[tuple[Tensor, Tensor]]:
        """(dry, wet) of every song at its gain in this epoch."""
        return [self._song(song, self.drawn_db(song, epoch)) for song in range(len(self.full))]

    def _song(self, song: int, gain_db: float) -> tuple[Tensor, Tensor]:
        if self._made[song][0] != gain_db:
            dry = amplify(self.full[song][0], gain_db)
            self._made[song] = (gain_db, (dry, self.effect(dry, self.sample_rate)))
        return self._made[song][1]
