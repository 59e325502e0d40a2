"""Stretches of songs to fit a filter that repeats to: as much as that needs, all phases equally often.

Shapes: T samples, N taps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

# Samples in a stretch at least: the filter's past is computed for each anew.
LENGTH = 1 << 15


@dataclass(frozen=True, eq=False)
class Stretch:
    """A stretch of a song.

    Args:
        dry: (N + T,), with the N samples before it, which are silent where the song begins.
        wet: (T,).
        start: of wet in the song, in samples.
    """

    dry: Tensor
    wet: Tensor
    start: int = 0


def whole_songs(songs: Sequence[tuple[Tensor, Tensor]], taps: int) -> list[Stretch]:
    """Whole songs (dry, wet), (T,) each, with `taps` samples of silence before."""
    return [Stretch(F.pad(dry, (taps, 0)), wet) for dry, wet in songs]


def spread(songs: Sequence[Stretch], samples: int, period: float = 1.0) -> list[Stretch]:
    """Stretches of whole songs, evenly spread over each, of whole periods (of so many samples), so many samples in all.

    The songs themselves where they have no more.
    """
    total = sum(song.wet.numel() for song in songs)
    length = math.ceil(math.ceil(LENGTH / period) * period)
    if max(samples, length) >= total:
        return [*songs]
    return [
        _cut(song, start, length)
        for song in songs
        for start in _starts(song.wet.numel(), length, samples / length / total)
    ]


def _cut(song: Stretch, start: int, length: int) -> Stretch:
    taps = song.dry.numel() - song.wet.numel()
    return Stretch(song.dry[start : start + taps + length], song.wet[start : start + length], start)


def _starts(samples: int, length: int, density: float) -> list[int]:
    """Where stretches begin in a song, given how many there are a sample."""
    count = max(1, round(samples * density))
    return torch.linspace(0, max(0, samples - length), count).long().tolist()
