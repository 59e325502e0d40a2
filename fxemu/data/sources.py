"""Sources of pairs: songs or recordings in memory, or a library that is streamed; one protocol for both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from torch import Tensor
from torch.utils.data import Dataset

from fxemu.data.gains import DrawnGains
from fxemu.data.segments import RandomSegments
from fxemu.data.settings import DrawnSettings
from fxemu.data.shard import Shard
from fxemu.data.stream import MeasuredSongs, SongStream, excerpts
from fxemu.effects import Effect
from fxemu.library.pair import Pair


class Source(Protocol):
    """Pairs of dry and wet in three parts, and batches of segments of those to train on.

    Attributes:
        parts: pairs by "train", "val" and "test", of which no two share a song; of a streamed library excerpts of some.
        audio_seconds: of the training songs together; None where they are streamed.
        in_memory: whether others may cut segments from the same songs.
    """

    parts: Mapping[str, list[Pair]]
    audio_seconds: float | None
    in_memory: bool

    def batches(self, epoch: int, shard: Shard) -> Dataset:
        """The training batches of an epoch: (dry, wet), each (shard's rows, 1, samples)."""

    def process(self, dry: Tensor) -> Tensor:
        """Wet for a dry signal (samples,) of any origin; EffectError if the effect cannot process it."""

    def summary(self) -> str:
        """The amount of audio to train and to report on, in a line."""

    def close(self) -> None:
        """End the threads and processes of the source; it gives no further batches."""


class BatchSizes(NamedTuple):
    """Sizes by which segments are drawn: samples in each, segments in a batch, batches in an epoch, and the seed."""

    samples: int
    batch_size: int
    batches: int
    seed: int


class InMemory:
    """A source whose pairs are all in memory; training songs at gains drawn for each epoch.

    Args:
        parts: pairs by "train", "val" and "test".
        effect: from dry to wet.
        gains: of the training songs, or their settings.
        sizes: of the batches.
    """

    in_memory = True

    def __init__(
        self, parts: dict[str, list[Pair]], effect: Effect, gains: DrawnGains | DrawnSettings, sizes: BatchSizes
    ) -> None:
        self.parts, self.effect, self.gains, self.sizes = parts, effect, gains, sizes
        self.audio_seconds = sum(pair.dry.numel() for pair in parts["train"]) / gains.sample_rate

    def batches(self, epoch: int, shard: Shard) -> RandomSegments:
        return RandomSegments(self.gains.pairs_for_epoch(epoch), *self.sizes, epoch, shard)

    def process(self, dry: Tensor) -> Tensor:
        return self.effect(dry, self.gains.sample_rate)

    def summary(self) -> str:
        return ", ".join(f"{len(pairs)} {part}" for part, pairs in self.parts.items()) + " songs"

    def close(self) -> None:
        pass


class Streamed:
    """A source that decodes stretches of songs while the model trains, and reports on excerpts.

    Args:
        songs: by "train", "val" and "test".
        effect: from dry to wet.
        gain_db: lowest and highest gain on the training songs.
        count: songs of each part that excerpts are used of.
        split_seed: decides which these are.
        sizes: of the batches.
    """

    audio_seconds, in_memory = None, False

    def __init__(
        self,
        songs: dict[str, MeasuredSongs],
        effect: Effect,
        gain_db: tuple[float, float],
        count: int,
        split_seed: int,
        sizes: BatchSizes,
    ) -> None:
        self.songs, self.effect, self.count, self.split_seed = songs, effect, count, split_seed
        self.stream = SongStream(songs["train"], effect, gain_db, *sizes)
        self.parts = ReadOnDemand(lambda part: self._in_thread(self._excerpts, part))
        # Here and now, so that Ctrl-C need not wait for the thread.
        self.parts["train"] = self._excerpts("train")

    def batches(self, epoch: int, shard: Shard) -> SongStream:
        self.stream.epoch, self.stream.shard = epoch, shard
        return self.stream

    def process(self, dry: Tensor) -> Tensor:
        return self._in_thread(self.effect, dry, self.stream.songs.sample_rate)

    def summary(self) -> str:
        training = self.stream.songs
        known = f"{len(training.scan.entries)} of {len(training.scan.paths)} measured so far"
        return f"streaming {len(training.paths)} training songs ({known}); reporting on excerpts of {self.count} songs"

    def close(self) -> None:
        self.stream.close()

    def _excerpts(self, part: str) -> list[Pair]:
        songs = excerpts(self.songs[part], self.stream.worker, self.count, self.split_seed)
        return [Pair(song.name, song.dry, self.effect(song.dry, self.songs[part].sample_rate)) for song in songs]

    def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The result of a function in the stream's thread, the only one that may run the effect."""
        return self.stream.thread.submit(function, *arguments).result()


class ReadOnDemand(dict[str, list[Pair]]):
    """Pairs by part, each part read when it is first asked for."""

    def __init__(self, read: Callable[[str], list[Pair]]) -> None:
        super().__init__()
        self.read = read

    def __missing__(self, part: str) -> list[Pair]:
        self[part] = self.read(part)
        return self[part]
