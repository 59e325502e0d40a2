"""Settings of an effect's knobs: drawn for training songs as they take turns, and others that are held out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from fxemu.audio.tensors import amplify
from fxemu.data.gains import Turns
from fxemu.effects import Effect
from fxemu.effects.knobs import held_out_settings, spread_settings
from fxemu.engine.control import between_points
from fxemu.engine.plan import PERIOD
from fxemu.library.pair import Pair
from fxemu.models.knobs import smoothed

# Settings in a Latin hypercube, up to CORNERS of which are corners.
HYPERCUBE = 64
# A training song is cut into pieces of so many seconds, or of an effect's memory, each with a setting of its own: the
# more settings a batch has, the better. Of an effect with a longer memory than LONGEST_S songs stay whole.
PIECE_S, LONGEST_S = 1.0, 5.0
# The share of draws in which knobs move, if the effect follows them, how long a turn takes, in s, and the share of them
# that take no time.
MOVING_SHARE, TURN_S, JUMPS = 0.25, (0.02, 2.0), 0.25


def drawn_setting(number: int, knobs: int, seed: int) -> Tensor:
    """Setting `number` of an endless sequence, (knobs,): one hypercube after another, each with the corners in it."""
    block, place = divmod(number, HYPERCUBE)
    generator = np.random.default_rng((seed, block))
    settings = spread_settings(HYPERCUBE, knobs, generator)
    return settings[int(generator.permutation(HYPERCUBE)[place])]


def drawn_track(number: int, knobs: int, seed: int, samples: int, sample_rate: int) -> Tensor | None:
    """How the knobs move in draw `number`, positions (knobs, samples); None for three draws of four, with still knobs.

    From its setting to another one, at once or in a straight line of 20 ms to 2 s, and smoothed as players do.
    """
    generator = np.random.default_rng((seed, number, 1))
    if generator.random() >= MOVING_SHARE:
        return None
    start, end = drawn_setting(number, knobs, seed), torch.from_numpy(generator.uniform(-1, 1, knobs)).float()
    seconds = math.exp(generator.uniform(*map(math.log, TURN_S))) * (generator.random() > JUMPS)
    begin = generator.uniform(-seconds, samples / sample_rate)
    times = torch.arange(0, samples, PERIOD) / sample_rate
    share = ((times - begin) / max(seconds, 1e-3)).clamp(0, 1)
    aimed = start[:, None] + (end - start)[:, None] * share
    moved = smoothed(aimed, aimed[:, 0], sample_rate)
    return between_points(torch.cat((aimed[:, :1], moved), dim=1)[None], 0, samples)[0]


class DrawnSettings(Turns):
    """Training songs in pieces, which take turns at settings and gains; the protocol of `DrawnGains`.

    Args:
        songs: dry at 0 dB.
        effect: turnable.
        sample_rate: in Hz.
        gain_db: lowest and highest gain, -80 to 0 dB.
        shortest: samples that a piece must have.
        seed: decides settings and gains.
        cached: wraps an effect, so that it looks into the cache before it runs.
    """

    def __init__(
        self,
        songs: Sequence[Pair],
        effect: Effect,
        sample_rate: int,
        gain_db: Sequence[float],
        shortest: int,
        seed: int,
        cached: Callable[[Effect], Effect],
    ) -> None:
        cut = [(song.name, piece) for song in songs for piece in pieces_of(song.dry, effect, sample_rate, shortest)]
        self.names, self.pieces = [name for name, _ in cut], [piece for _, piece in cut]
        seconds = sum(dry.numel() - before for dry, before, _ in self.pieces) / sample_rate
        super().__init__(len(cut), seconds, gain_db, seed)
        self.effect, self.sample_rate, self.cached = effect, sample_rate, cached
        # The pair of each piece, by number, and which draw it was.
        self._made: dict[int, tuple[int, Pair]] = {}

    def drawn(self, piece: int, epoch: int) -> tuple[int, Tensor]:
        """The number of the draw of a piece in an epoch, with its setting (K,)."""
        number = self.draw(piece, epoch) * len(self.pieces) + piece
        return number, drawn_setting(number, len(self.effect.knobs), self.seed)

    def settings(self, epoch: int) -> list[Tensor]:
        """The setting (K,) of every piece in this epoch."""
        return [self.drawn(piece, epoch)[1] for piece in range(len(self.pieces))]

    def pairs_for_epoch(self, epoch: int) -> list[Pair]:
        """Every piece at its setting and gain in this epoch."""
        draws = ((*self.drawn(piece, epoch), self.drawn_db(piece, epoch)) for piece in range(len(self.pieces)))
        return [self._pair(piece, *draw) for piece, draw in enumerate(draws)]

    def _pair(self, piece: int, number: int, at: Tensor, gain_db: float) -> Pair:
        if piece not in self._made or self._made[piece][0] != number:
            dry, before, start = self.pieces[piece]
            dry = amplify(dry, gain_db) if gain_db else dry
            sizes = len(self.effect.knobs), self.seed, dry.numel(), self.sample_rate
            track = drawn_track(number, *sizes) if self.effect.follows else None
            effect = self.cached(self.effect.at(at)) if track is None else self.effect.moving(track)
            wet = effect(dry, self.sample_rate, start)
            knobs = at if track is None else track[:, before:]
            self._made[piece] = number, Pair(self.names[piece], dry[before:], wet[before:], knobs)
        return self._made[piece][1]


def pieces_of(dry: Tensor, effect: Effect, sample_rate: int, shortest: int) -> list[tuple[Tensor, int, int]]:
    """Pieces of a song, each with the audio before it that the effect needs: (samples,), how many of them are before.

    Third is the number of the first sample in the song. An effect that needs the whole song leaves it whole.
    """
    if effect.memory_s is None or effect.memory_s > LONGEST_S:
        return [(dry, 0, 0)]
    count = dry.numel() // max(shortest, round(max(PIECE_S, effect.memory_s) * sample_rate))
    if count < 2:
        return [(dry, 0, 0)]
    memory, size = math.ceil(effect.memory_s * sample_rate), -(-dry.numel() // count)
    starts = range(0, dry.numel() - shortest + 1, size)
    firsts = [max(0, start - memory) for start in starts]
    return [(dry[first : start + size], start - first, first) for start, first in zip(starts, firsts, strict=True)]


def at_settings(songs: Sequence[Pair], effect: Effect, sample_rate: int, shortest: int, seed: int) -> list[Pair]:
    """Held-out songs in pieces, each at a held-out setting of its own."""
    pieces = [(song.name, *piece) for song in songs for piece in pieces_of(song.dry, effect, sample_rate, shortest)]
    settings = held_out_settings(len(pieces), len(effect.knobs), seed)
    return [
        Pair(name, dry[before:], effect.at(at)(dry, sample_rate, start)[before:], at)
        for (name, dry, before, start), at in zip(pieces, settings, strict=True)
    ]
