"""Random gains on training songs, redrawn during training, so that the model learns quiet and loud playing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fxemu.audio.tensors import amplify
from fxemu.effects import Effect
from fxemu.library.pair import Pair

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


class Turns:
    """Items of audio that take turns to be drawn anew, at gains drawn evenly in dB.

    In each epoch it is the turn of as many as hold SECONDS_PER_EPOCH of audio (one at least). What an item has in which
    epoch depends on the seed alone, so a resumed run has the same.

    Args:
        count: of the items.
        seconds: of all of them.
        gain_db: lowest and highest gain, -80 to 0 dB.
        seed: decides the gains.
    """

    def __init__(self, count: int, seconds: float, gain_db: Sequence[float], seed: int) -> None:
        check_gains(gain_db)
        self.turns, self.gain_db, self.seed = min(count, math.ceil(seconds / SECONDS_PER_EPOCH)), gain_db, seed

    def draw(self, item: int, epoch: int) -> int:
        """How often an item, by number, has been drawn by an epoch."""
        return (epoch - item % self.turns) // self.turns + 1

    def drawn_db(self, item: int, epoch: int) -> float:
        """The gain of an item, by number, in an epoch."""
        return float(np.random.default_rng((self.seed, item, self.draw(item, epoch))).uniform(*self.gain_db))


class DrawnGains(Turns):
    """Training songs that take turns at gains before the effect, whose sound may depend on the level.

    Args:
        songs: at 0 dB.
        effect: from dry to wet.
        sample_rate: in Hz.
        gain_db: lowest and highest gain, -80 to 0 dB.
        seed: decides the gains.
    """

    def __init__(
        self,
        songs: Sequence[Pair],
        effect: Effect,
        sample_rate: int,
        gain_db: Sequence[float],
        seed: int,
    ) -> None:
        super().__init__(len(songs), sum(song.dry.numel() for song in songs) / sample_rate, gain_db, seed)
        self.full, self.effect, self.sample_rate = list(songs), effect, sample_rate
        # The pair of each song, by number, and the gain that its dry has.
        self._made: dict[int, tuple[float, Pair]] = {i: (0.0, song) for i, song in enumerate(songs)}

    def pairs_for_epoch(self, epoch: int) -> list[Pair]:
        """Every song at its gain in this epoch."""
        return [self._song(song, self.drawn_db(song, epoch)) for song in range(len(self.full))]

    def _song(self, song: int, gain_db: float) -> Pair:
        if self._made[song][0] != gain_db:
            full = self.full[song]
            dry = amplify(full.dry, gain_db)
            self._made[song] = (gain_db, Pair(full.name, dry, self.effect(dry, self.sample_rate)))
        return self._made[song][1]
