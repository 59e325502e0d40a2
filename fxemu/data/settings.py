"""Settings of an effect's knobs: drawn for training songs as they take turns, and others that are held out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import torch
from torch import Tensor

from fxemu.audio.tensors import amplify
from fxemu.data.gains import SECONDS_PER_EPOCH, check_gains
from fxemu.effects import Effect
from fxemu.effects.knobs import CORNERS, held_out_settings, latin_hypercube
from fxemu.library.pair import Pair

# Settings in a Latin hypercube, up to CORNERS of which are corners.
HYPERCUBE = 64
# A training song is cut into pieces of so many seconds, or of an effect's memory, each with a setting of its own: the
# more settings a batch has, the better. Of an effect with a longer memory than LONGEST_S songs stay whole.
PIECE_S, LONGEST_S = 1.0, 5.0


def drawn_setting(number: int, knobs: int, seed: int) -> Tensor:
    """Setting `number` of an endless sequence, (knobs,): one hypercube after another, each with the corners in it."""
    block, place = divmod(number, HYPERCUBE)
    generator = np.random.default_rng((seed, block))
    corners = list(product((-1.0, 1.0), repeat=knobs)) if 2**knobs <= CORNERS else []
    inner = latin_hypercube(HYPERCUBE - len(corners), knobs, generator)
    settings = torch.cat([torch.tensor(corners).view(-1, knobs), inner])
    return settings[int(generator.permutation(HYPERCUBE)[place])]


class DrawnSettings:
    """Training songs in pieces, at settings and gains drawn for each; the protocol of `DrawnGains`.

    Pieces take turns: in each epoch as many as hold SECONDS_PER_EPOCH of audio (one at least) are drawn anew. What a
    piece has in which epoch depends on the seed alone, so a resumed run has the same.

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
        check_gains(gain_db)
        self.effect, self.sample_rate, self.gain_db, self.seed, self.cached = effect, sample_rate, gain_db, seed, cached
        cut = [(song.name, piece) for song in songs for piece in pieces_of(song.dry, effect, sample_rate, shortest)]
        self.names, self.pieces = [name for name, _ in cut], [piece for _, piece in cut]
        seconds = sum(dry.numel() - before for dry, before, _ in self.pieces) / sample_rate
        self.turns = min(len(self.pieces), math.ceil(seconds / SECONDS_PER_EPOCH))
        # The pair of each piece, by number, and which draw it was.
        self._made: dict[int, tuple[int, Pair]] = {}

    def drawn(self, piece: int, epoch: int) -> tuple[int, Tensor, float]:
        """The number of the draw of a piece in an epoch, with its setting (K,) and gain in dB."""
        draw = (epoch - piece % self.turns) // self.turns + 1
        number = draw * len(self.pieces) + piece
        gain_db = float(np.random.default_rng((self.seed, piece, draw)).uniform(*self.gain_db))
        return number, drawn_setting(number, len(self.effect.knobs), self.seed), gain_db

    def pairs_for_epoch(self, epoch: int) -> list[Pair]:
        """Every piece at its setting and gain in this epoch."""
        return [self._pair(piece, *self.drawn(piece, epoch)) for piece in range(len(self.pieces))]

    def _pair(self, piece: int, number: int, at: Tensor, gain_db: float) -> Pair:
        if piece not in self._made or self._made[piece][0] != number:
            dry, before, start = self.pieces[piece]
            dry = amplify(dry, gain_db) if gain_db else dry
            wet = self.cached(self.effect.at(at))(dry, self.sample_rate, start)
            self._made[piece] = number, Pair(self.names[piece], dry[before:], wet[before:], at)
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
