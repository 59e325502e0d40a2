"""Segments streamed from a library of any size with bounded memory: stretches of songs, decoded during training.

Stretch i is some seconds of some song, which the seed and i decide. A batch draws its segments at random from a pool
of POOL successive stretches; from one batch to the next the pool moves on a little. So memory is bounded, many
segments come from each decoded stretch, neighbours in a batch come from many songs, and any batch can be
repeated from its number alone. Of several processes that train together each decodes its own share of stretches.
"""

from __future__ import annotations

import math
import os
import random
import zlib
from bisect import bisect_right
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from fxemu.audio.source import AudioError
from fxemu.audio.tensors import amplify
from fxemu.audio.worker import Worker
from fxemu.data.shard import WHOLE
from fxemu.effects import Effect
from fxemu.files import printable
from fxemu.library.index import Entry, Selection, file_signature
from fxemu.library.scan import BackgroundScan
from fxemu.library.songs import LibraryError, Skipped, Song, hash_order
from fxemu.slices import segment_starts

# Seconds of a stretch, stretches in the pool, and segments drawn from each while it is there, on average.
STRETCH_S, POOL, DRAWS = 8, 24, 512
# Stretches in the pool of the very first batch, one more for each after it, so that training need not wait for all.
FIRST = 6
# Stretches decoded ahead of the pool.
AHEAD = 4
# Effects that need the whole song get its first so many seconds, and give so many stretches in turn.
WHOLE_S, SHARED = 300, 8

# Of a held-out song, the middle so many seconds are used.
EXCERPT_S = 20

Stretch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class MeasuredSongs:
    """The songs of one part of a library, as far as a scan has measured them.

    Args:
        paths: of all songs of the part, by name.
        scan: measures them.
        selection: which of them to use.
        sample_rate: to read them at, in Hz.
        shortest: samples that a song must have.
        skipped: takes the name and reason of each song that cannot be used.
    """

    paths: dict[str, str]
    scan: BackgroundScan
    selection: Selection
    sample_rate: int
    shortest: int
    skipped: Skipped

    def usable(self) -> dict[str, Entry]:
        """The usable songs known so far by name, sorted; those that cannot be used are noted as skipped."""
        known = self.scan.known()
        measured = {name: known[path] for name, path in sorted(self.paths.items()) if path in known}
        usable = {name: entry for name, entry in measured.items() if not self._refused(name, entry)}
        return {name: entry for name, entry in usable.items() if name not in self.skipped.reasons}

    def _refused(self, name: str, entry: Entry) -> bool:
        why = entry.error
        if not why and entry.duration_s * self.sample_rate < self.shortest:
            why = f"too short: {entry.duration_s:.2f} s, {self.shortest / self.sample_rate:.2f} s are needed"
        if why:
            self.skipped.add(name, f"{printable(entry.path)}: {why}")
        return bool(why) or not self.selection.matches(entry)

    def read(self, worker: Worker, entry: Entry, start_s: int, seconds: int) -> Tensor:
        """Samples from the middle of a song, scaled so that the whole song has a peak of 1.

        Raises:
            AudioError: if the file is gone, has changed since it was measured, or is too short.
        """
        try:
            if file_signature(entry.path) != entry.signature:
                raise AudioError(f"{printable(entry.path)}: has changed while it was in use")
        except OSError as error:
            raise AudioError(f"{printable(entry.path)}: {error.strerror}") from error
        decoded = worker.read(entry.path, self.sample_rate, start_s, seconds)
        if decoded.samples.size < self.shortest:
            raise AudioError(f"{printable(entry.path)}: ends sooner than when it was measured")
        return torch.from_numpy(decoded.samples / entry.peak)


def excerpts(songs: MeasuredSongs, worker: Worker, count: int, seed: int) -> list[Song]:
    """The middle of the first `count` usable songs by hash; waits until these are measured.

    Raises:
        LibraryError: if there is none.
    """
    pieces: list[Song] = []
    for name in hash_order(songs.paths, seed):
        path = songs.paths[name]
        if len(pieces) == count:
            break
        songs.scan.wait(lambda entries, path=path: path in entries)
        entry = songs.usable().get(name)
        if entry is None:
            continue
        start_s = max(0, int(entry.duration_s) - EXCERPT_S) // 2
        try:
            pieces.append(Song(name, songs.read(worker, entry, start_s, EXCERPT_S)))
        except AudioError as error:
            songs.skipped.add(name, str(error))
    if not pieces:
        raise LibraryError(f"a part of the split has no usable song among {len(songs.paths)}\n{songs.skipped}")
    return pieces


class SongStream(Dataset):
    """Batches of segments; item i of an epoch is (dry, wet), each (batch_size, 1, samples).

    A shard gets its part of the batch's size, from a pool of its own that moves on by as much less.

    Args:
        songs: of which more may be measured on the way.
        gain_db: lowest and highest gain on dry before the effect; each stretch draws its own, evenly in dB
            (each song, for effects that need all of it).
        effect: from dry to wet; run in a thread, on a stretch and the audio before it that the effect needs.
        samples: in a segment.
        batch_size: segments in a batch.
        batches: in an epoch.
        seed: decides which stretches are decoded and where segments are cut.
    """

    def __init__(
        self,
        songs: MeasuredSongs,
        effect: Effect,
        gain_db: Sequence[float],
        samples: int,
        batch_size: int,
        batches: int,
        seed: int,
    ) -> None:
        self.songs, self.effect, self.gain_db, self.samples = songs, effect, gain_db, samples
        self.batch_size, self.batches, self.seed = batch_size, batches, seed
        self.epoch, self.shard = 0, WHOLE
        self.worker = Worker()
        # One thread: an effect may not like to be called from two.
        self.thread = ThreadPoolExecutor(1, "stretches", torch.set_flush_denormal, (True,))
        self.stretches: dict[int, Future[Stretch]] = {}
        self.usable: list[tuple[str, Entry]] = []
        self.ends: list[int] = []
        self.seen = -1
        self.whole: tuple[str, Stretch] | None = None
        self.closed = False

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, index: int) -> Stretch:
        number = self.epoch * self.batches + index
        rows = self.shard.rows(self.batch_size)
        size = rows.stop - rows.start
        pool = self._pool(number * size // DRAWS, min(POOL, FIRST + number))
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + self.shard.number(number)) % 2**63)
        ends = torch.tensor([segment_starts(dry.numel(), 1, self.samples) for dry, _ in pool]).cumsum(0)
        places = torch.randint(int(ends[-1]), (size,), generator=generator)
        owners = torch.searchsorted(ends, places, right=True)
        starts = places - torch.cat((torch.zeros(1, dtype=ends.dtype), ends))[owners]
        where = list(zip(owners.tolist(), starts.tolist(), strict=True))
        dry, wet = (torch.stack([pool[i][side][s : s + self.samples] for i, s in where]) for side in (0, 1))
        return dry[:, None], wet[:, None]

    def close(self) -> None:
        """End the thread, the process that decodes, and the scan."""
        # What is being decoded fails now, through no fault of its song.
        self.closed = True
        self.songs.scan.stop()
        self.thread.shutdown(wait=False, cancel_futures=True)
        self.worker.interrupt()

    def _pool(self, first: int, count: int) -> list[Stretch]:
        """Its own `count` stretches from `first` on; those before are forgotten, and a few after are begun."""
        for number in [n for n in self.stretches if not first <= n < first + count + AHEAD]:
            self.stretches.pop(number).cancel()
        for number in range(first, first + count + AHEAD):
            if number not in self.stretches:
                self.stretches[number] = self.thread.submit(self._load, self.shard.number(number, self._shared))
        return [self.stretches[number].result() for number in range(first, first + count)]

    def _load(self, number: int) -> Stretch:
        """Stretch `number`; a song that cannot be read any more is left out from then on."""
        while True:
            name, entry, start_s = self._draw(number)
            try:
                return self._stretch(entry, start_s)
            except AudioError as error:
                if self.closed:
                    raise
                self.songs.skipped.add(name, str(error))
                self.seen = -1

    def _draw(self, number: int) -> tuple[str, Entry, int]:
        """A song, with a chance in proportion to its length, and the second to begin at."""
        self._refresh()
        at = random.Random(f"{self.seed}/song/{number // self._shared}").random() * self.ends[-1]
        name, entry = self.usable[bisect_right(self.ends, at)]
        start = random.Random(f"{self.seed}/start/{number}").random() * self._starts(entry)
        return name, entry, int(start)

    def _starts(self, entry: Entry) -> int:
        """Seconds of a song at which a stretch may begin."""
        seconds = min(entry.duration_s, WHOLE_S) if self._needs_whole else entry.duration_s
        return max(1, int(seconds) - STRETCH_S + 1)

    def _refresh(self) -> None:
        """Take up songs measured since: when they are a tenth more, or all."""
        known = len(self.songs.scan.entries)
        if known == self.seen or (known < 1.1 * self.seen and not self.songs.scan.finished):
            return
        self.seen = known
        self.usable = list(self.songs.usable().items())
        self.ends = list(accumulate(self._starts(entry) for _, entry in self.usable))
        if not self.usable:
            raise LibraryError(f"no training song can be used any more\n{self.songs.skipped}")

    @property
    def _needs_whole(self) -> bool:
        return self.effect.memory_s is None or self.effect.memory_s > WHOLE_S

    @property
    def _shared(self) -> int:
        """Successive stretches that come from the same song."""
        return SHARED if self._needs_whole else 1

    def _stretch(self, entry: Entry, start_s: int) -> Stretch:
        if self._needs_whole:
            if self.whole is None or self.whole[0] != entry.path:
                self.whole = entry.path, self._processed(entry, 0, WHOLE_S, 0)
            rate = self.songs.sample_rate
            span = slice(start_s * rate, (start_s + STRETCH_S) * rate)
            return self.whole[1][0][span].clone(), self.whole[1][1][span].clone()
        return self._processed(entry, start_s, STRETCH_S, min(start_s, math.ceil(self.effect.memory_s)))

    def _processed(self, entry: Entry, start_s: int, seconds: int, before_s: int) -> Stretch:
        """Dry and wet from `start_s` on, the effect having processed the `before_s` seconds before that too."""
        rate = self.songs.sample_rate
        dry = self.songs.read(self.worker, entry, start_s - before_s, before_s + seconds)
        place = zlib.crc32(os.fsencode(os.path.basename(entry.path))), start_s
        dry = amplify(dry, float(np.random.default_rng((self.seed, *place)).uniform(*self.gain_db)))
        wet = self.effect(dry, rate, (start_s - before_s) * rate)
        skip = before_s * rate
        if dry.numel() - skip < self.samples:
            raise AudioError(f"{printable(entry.path)}: ends sooner than when it was measured")
        return dry[skip:].clone(), wet[skip:].clone()
