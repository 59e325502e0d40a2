"""Segments of pairs as datasets: random ones to train on, whole songs to validate on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from fxemu.data.shard import WHOLE, Shard
from fxemu.library.pair import Pair
from fxemu.slices import gather, segment_starts

# Of batches, one in so many has knobs that move.
MOVES_EVERY = 4


class RandomSegments(Dataset):
    """Batches of segments cut anywhere from the songs, the same ones for the same seed and number.

    Item i is (dry, wet), each (batch_size, 1, samples), and with knobs their positions (batch_size, K, 1) and the mean
    square of wet of the whole song (batch_size, 1, 1): a song is drawn in proportion to its length. One batch of
    MOVES_EVERY is of songs whose knobs move, if there are some, with positions (batch_size, K, samples). A shard gets
    its rows of the same batches.
    """

    def __init__(
        self,
        pairs: list[Pair],
        samples: int,
        batch_size: int,
        batches: int,
        seed: int,
        epoch: int = 0,
        shard: Shard = WHOLE,
    ) -> None:
        self.batch_size, self.batches, self.seed, self.epoch, self.shard = batch_size, batches, seed, epoch, shard
        moving = [pair for pair in pairs if pair.knobs is not None and pair.knobs.ndim == 2]
        still = [pair for pair in pairs if pair.knobs is None or pair.knobs.ndim == 1]
        self.moving, self.still = (JoinedSongs(part, samples) if part else None for part in (moving, still))

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        number = self.epoch * self.batches + index
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + number) % 2**63)
        songs = (self.moving or self.still) if number % MOVES_EVERY == MOVES_EVERY - 1 else (self.still or self.moving)
        places = torch.randint(int(songs.ends[-1]), (self.batch_size,), generator=generator)
        return songs.segments(places[self.shard.rows(self.batch_size)])


class JoinedSongs:
    """Songs end to end, from which segments are cut.

    Args:
        pairs: whose knobs all move, or none do.
        samples: in a segment.
    """

    def __init__(self, pairs: list[Pair], samples: int) -> None:
        self.samples = samples
        self.dry, self.wet = (torch.cat([getattr(pair, side) for pair in pairs]) for side in ("dry", "wet"))
        self.knobs = None if pairs[0].knobs is None else [pair.knobs for pair in pairs]
        if self.knobs is not None:
            self.knobs = torch.cat(self.knobs, dim=1) if self.knobs[0].ndim == 2 else torch.stack(self.knobs)
        self.moving = pairs[0].knobs is not None and pairs[0].knobs.ndim == 2
        self.levels = torch.stack([pair.wet.square().mean() for pair in pairs])
        counts = torch.tensor([segment_starts(pair.dry.numel(), 1, samples) for pair in pairs])
        lengths = torch.tensor([pair.dry.numel() for pair in pairs])
        self.ends = counts.cumsum(0)
        # How far a start, counted over all songs, lies behind its place in the joined audio.
        self.shifts = (lengths - counts).cumsum(0) - (lengths - counts)

    def segments(self, places: Tensor) -> tuple[Tensor, ...]:
        """A batch of those that begin at places (B,), counted over the starts of all songs."""
        owners = torch.searchsorted(self.ends, places, right=True)
        starts = places + self.shifts[owners]
        dry, wet = (gather(audio, starts, self.samples)[:, None] for audio in (self.dry, self.wet))
        if self.knobs is None:
            return dry, wet
        tracks = [gather(track, starts, self.samples) for track in self.knobs] if self.moving else None
        knobs = self.knobs[owners, :, None] if tracks is None else torch.stack(tracks, dim=1)
        return dry, wet, knobs, self.levels[owners, None, None]


class RemainingBatches(Sampler[int]):
    """Batch numbers from `first` to before `count`; the length is `count`, since Lightning counts all of them."""

    def __init__(self, first: int, count: int) -> None:
        self.first, self.count = first, count

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.count))

    def __len__(self) -> int:
        return self.count


class ValidationSongs(Dataset):
    """A dataset of one item: the songs to validate on, rendered side by side; they are read when first needed."""

    def __init__(self, songs: Callable[[], list[Pair]]) -> None:
        self.songs = songs

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> list[Pair]:
        return self.songs()
