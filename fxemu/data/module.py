"""The LightningDataModule: a library and an effect become batches of random segments, split by song."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from fxemu.data.gains import DrawnGains, check_gains
from fxemu.data.segments import HeldOut, RandomSegments, RemainingBatches, ValidationSongs
from fxemu.data.shard import Shard
from fxemu.data.stream import SongStream, Source, excerpts
from fxemu.data.wet_cache import WetCache
from fxemu.effects import Effect, EffectError, Recorded
from fxemu.errors import TrainingDivergedError
from fxemu.files import printable
from fxemu.library.index import Range, Selection
from fxemu.library.pair import Pair
from fxemu.library.recordings.pairs import read_recordings, split_recordings
from fxemu.library.scan import BackgroundScan, LibraryScan, first_look
from fxemu.library.songs import PARTS, LibraryError, Skipped, Song, read_songs, split_songs
from fxemu.slices import segment_samples


class SongData(pl.LightningDataModule):
    """Random segments of a song library through an effect.

    Args:
        effect: makes wet of dry.
        context: samples of true past that the predictor needs before the first prediction (its warm-up).
        library: folder of songs.
        sample_rate: in Hz, 8000 to 192000; all songs are resampled to it.
        glob: which songs, by their path below the library.
        duration_s, loudness_lufs: (lowest, highest) of a song; null for any.
        tags: patterns of tags that must all fit, by name (title, artist, album, genre, date, composer); null for any.
        file_count: songs picked at random of those that `glob` takes, before the selection; null for all.
        index: file that keeps what was measured of each song; null for one in the user's cache folder.
        memory_hours: of songs that are kept in memory; of more, stretches are decoded while the model trains.
        excerpts: held-out songs that are then used of each part, EXCERPT_S seconds each, 1 or more.
        segment: predictions in a training segment, K; the longest rollout that training asks for.
        batch_size: segments in a batch, of all processes together if several train at once.
        batches_per_epoch: between two validations.
        val_share, test_share: shares of the songs, 0 to 1, together below 1.
        val_seconds: of each validation song, from its middle, that checkpoints are selected on; null for whole songs.
        split_seed: decides which songs are held out.
        gain_db: lowest and highest gain on training songs before the effect, -80 to 0 dB: each is drawn anew as
            training goes on (see `gains.py`). Songs to validate and test on stay at 0 dB, a peak of full scale.
        train_seconds: of audio to train on, an equal part from the middle of each training song; null for all there is.
        cache: folder for what effects that need the whole song make of it; null for the user's cache folder.
        cache_gb: most that it may hold, 0.001 to 10000 GB.
        seed: decides which songs are picked, where segments are cut and which gains are drawn.
    """

    def __init__(
        self,
        effect: Effect,
        context: int,
        library: str = "examples",
        sample_rate: int = 44_100,
        glob: str = "*",
        duration_s: Range | None = None,
        loudness_lufs: Range | None = None,
        tags: Mapping[str, str] | None = None,
        file_count: int | None = None,
        index: str | None = None,
        memory_hours: float = 0.25,
        excerpts: int = 6,
        segment: int = 256,
        batch_size: int = 64,
        batches_per_epoch: int = 400,
        val_share: float = 0.15,
        test_share: float = 0.2,
        val_seconds: float | None = None,
        split_seed: int = 0,
        gain_db: Sequence[float] = (0.0, 0.0),
        train_seconds: float | None = None,
        cache: str | None = None,
        cache_gb: float = 10.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not 8000 <= sample_rate <= 192_000:
            raise ValueError(f"data.sample_rate: got {sample_rate}; must be from 8000 to 192000 Hz")
        if not (val_share > 0 and test_share > 0 and val_share + test_share < 1):
            raise ValueError(
                f"data.val_share and data.test_share: got {val_share} and {test_share}; "
                "both must be above 0, and their sum below 1"
            )
        if min(segment, batch_size, batches_per_epoch, excerpts) < 1:
            raise ValueError(
                "data.segment, data.batch_size, data.batches_per_epoch and data.excerpts must each be at least 1"
            )
        if file_count is not None and file_count < len(PARTS):
            raise ValueError(f"data.file_count: got {file_count}; must be at least {len(PARTS)}, or null for all")
        check_gains(gain_db)
        if isinstance(effect, Recorded) and any(gain_db):
            raise ValueError("data.gain_db: recordings cannot be played again at another gain; leave it at [0, 0]")
        if not memory_hours >= 0:
            raise ValueError(f"data.memory_hours: got {memory_hours}; must be at least 0")
        self.selection = Selection(duration_s and tuple(duration_s), loudness_lufs and tuple(loudness_lufs), tags)
        self.glob, self.index, self.memory_hours, self.excerpts = glob, index, memory_hours, excerpts
        self.effect, self.library, self.sample_rate, self.file_count = effect, library, sample_rate, file_count
        self.samples = segment_samples(context + 1, segment)
        self.batch_size, self.batches_per_epoch = batch_size, batches_per_epoch
        self.shares, self.split_seed, self.seed = (val_share, test_share), split_seed, seed
        self.gain_db: tuple[float, float] = tuple(map(float, gain_db))
        self.gains: DrawnGains | None = None
        for name, seconds in (("train", train_seconds), ("val", val_seconds)):
            if seconds is not None and not seconds > 0:
                raise ValueError(f"data.{name}_seconds: got {seconds}; must be above 0, or null for all")
        self.train_seconds, self.val_seconds = train_seconds, val_seconds
        self.cache = WetCache(cache, cache_gb)
        self.skipped = Skipped()
        # What was seen of the library before this was made, if anything.
        self.begun: LibraryScan | None = None
        self.parts: dict[str, list[Pair]] = {}
        self.stream: SongStream | None = None

    def setup(self, stage: str | None = None) -> None:
        """Measure, read, split and process the songs, or read recordings of the effect in their stead, once.

        Of a large library, only as many songs as are needed to begin.

        Raises:
            LibraryError: for a missing or empty library, or too few usable songs.
            EffectError: for an effect that does not return a wet signal, or only silence.
        """
        if self.parts:
            return
        self._fill()
        if self.wet_peak() == 0:
            raise EffectError("the effect makes silence of every training song: look at its output and its options")

    def _fill(self) -> None:
        if isinstance(self.effect, Recorded):
            recordings = read_recordings(self.effect, self.sample_rate)
            parts = split_recordings(recordings, self.samples, *self.shares, self.split_seed)
            self.parts = parts
            self.parts["train"] = self._shortened(self.parts["train"])
            return
        look = self.begun or self.look()
        if look.scan.hours_exceed(self.memory_hours, self.selection.takes):
            if self.train_seconds is not None:
                raise LibraryError(
                    f"data.train_seconds: a library of more than data.memory_hours={self.memory_hours} is streamed, "
                    "all of it; choose fewer songs with data.file_count, or raise data.memory_hours"
                )
            self._stream(look.scan, look.songs)
        else:
            self._read([path for path in look.files if self._usable(path, look.scan)], len(look.files))

    def look(self) -> LibraryScan:
        """See which files there are, and begin to measure them; LibraryError if there is none."""
        where = self.library, self.glob, self.file_count, self.index
        return first_look(*where, self.excerpts, self.shares, self.split_seed, self.seed)

    def _usable(self, path: str, scan: BackgroundScan) -> bool:
        entry = scan.entries[os.path.abspath(path)]
        if entry.error:
            self.skipped.add(path, f"{printable(path)}: {entry.error}")
        return not entry.error and self.selection.takes(entry)

    def _read(self, paths: list[str], count: int) -> None:
        songs = read_songs(paths, self.sample_rate, self.samples, self.skipped, self.library)
        if not songs:
            raise LibraryError(
                f"{self.library}: none of its {count} file(s) can be used and is selected\n{self.skipped}"
            )
        names = split_songs([song.name for song in songs], *self.shares, self.split_seed)
        pairs = {song.name: self._pair(song) for song in songs}
        self.parts = {part: [pairs[name] for name in names[part]] for part in PARTS}
        self.parts["train"] = self._shortened(self.parts["train"])

    def _stream(self, scan: BackgroundScan, songs: dict[str, str]) -> None:
        parts = split_songs(songs, *self.shares, self.split_seed)
        common = scan, self.selection, self.sample_rate, self.samples, self.skipped
        sources = {part: Source({name: songs[name] for name in parts[part]}, *common) for part in PARTS}
        counts = self.samples, self.batch_size, self.batches_per_epoch, self.seed
        self.stream = SongStream(sources["train"], self.cache.through(self.effect), self.gain_db, *counts)
        # In the stream's thread: an effect may not like to be called from two.
        self.parts = HeldOut(lambda part: self.stream.thread.submit(self._excerpts, sources[part]).result())
        self.parts["train"] = self._excerpts(sources["train"])
        self.named = len(self.skipped.reasons)

    def _excerpts(self, source: Source) -> list[Pair]:
        return [self._pair(song) for song in excerpts(source, self.stream.worker, self.excerpts, self.split_seed)]

    def _pair(self, song: Song) -> Pair:
        return Pair(song.name, song.dry, self.cache.wet(self.effect, song.dry, self.sample_rate))

    def summary(self) -> str:
        """What there is to train and to report on, in a line."""
        if self.stream is None:
            return ", ".join(f"{len(pairs)} {part}" for part, pairs in self.parts.items()) + " songs"
        source = self.stream.source
        known = f"{len(source.scan.entries)} of {len(source.scan.paths)} measured so far"
        return f"streaming {len(source.paths)} training songs ({known}); reporting on excerpts of {self.excerpts} songs"

    def _shortened(self, pairs: list[Pair]) -> list[Pair]:
        """`train_seconds` of the training songs: an equal part of each."""
        if self.train_seconds is None:
            return pairs
        samples = max(self.samples, round(self.train_seconds * self.sample_rate / len(pairs)))
        return [self._part(pair, samples) for pair in pairs]

    def _part(self, pair: Pair, samples: int) -> Pair:
        """The middle of a song; of an effect with an oscillator its start, where alone the phase is known."""
        return pair.middle(samples) if self.effect.rate_hz is None else pair.start(samples)

    def audio_seconds(self) -> float | None:
        """Of the training songs, together; None for a stream of them."""
        if self.stream is not None:
            return None
        return sum(pair.dry.numel() for pair in self.parts["train"]) / self.sample_rate

    def wet_peak(self) -> float:
        """The largest wet sample of the training songs, in proportion where all of dry is below full scale.

        As excerpts of a streamed library may be, and recordings; to 20 dB at most.
        """
        dry = max(float(pair.dry.abs().max()) for pair in self.parts["train"])
        wet = max(float(pair.wet.abs().max()) for pair in self.parts["train"])
        return wet / min(1.0, max(0.1, dry))

    def answers(self, probes: Sequence[Tensor]) -> list[Tensor]:
        """What the effect makes of each probe, (samples,): silence where it cannot be asked."""
        silence = [torch.zeros_like(probe) for probe in probes]
        if isinstance(self.effect, Recorded):
            return silence
        try:
            if self.stream is None:
                return self._wets(probes)
            # In the stream's thread: an effect may not like to be called from two.
            return self.stream.thread.submit(self._wets, probes).result()
        except EffectError:
            return silence

    def _wets(self, dries: Sequence[Tensor]) -> list[Tensor]:
        return [self.cache.wet(self.effect, dry, self.sample_rate) for dry in dries]

    def train_dataloader(self) -> DataLoader:
        """The batches of the epoch; of one in which an earlier start was interrupted, those that it has not had."""
        epoch, had = 0, 0
        if self.trainer:
            epoch, had = self.trainer.current_epoch, self.trainer.fit_loop.epoch_loop.batch_progress.current.ready
        left = RemainingBatches(had % self.batches_per_epoch, self.batches_per_epoch)
        return DataLoader(self._segments(epoch), batch_size=None, sampler=left)

    def _segments(self, epoch: int) -> RandomSegments | SongStream:
        """The training batches of an epoch."""
        counts = self.samples, self.batch_size, self.batches_per_epoch, self.seed
        if self.stream is None and self.gains is None:
            songs = [(pair.dry, pair.wet) for pair in self.parts["train"]]
            self.gains = DrawnGains(songs, self.effect, self.sample_rate, self.gain_db, self.seed)
        if self.stream is None:
            songs = zip(self.parts["train"], self.gains.at(epoch), strict=True)
            dataset = RandomSegments([Pair(pair.name, *song) for pair, song in songs], *counts)
        else:
            dataset = self.stream
        dataset.epoch = epoch
        dataset.shard = Shard(self.trainer.global_rank, self.trainer.world_size) if self.trainer else Shard()
        return dataset

    def teardown(self, stage: str) -> None:
        """End what a stream has running, and name the songs that it had to leave out on the way."""
        if self.stream is not None:
            # What the report needs is read while the scan still goes on.
            self.parts = {part: self.parts[part] for part in PARTS}
            self.stream.close()
            if len(self.skipped.reasons) > self.named:
                logging.getLogger(__name__).warning("%s", self.skipped)

    def on_exception(self, exception: BaseException) -> None:
        """End what a stream has running, beside which the next run of a sweep would go on."""
        if isinstance(exception, TrainingDivergedError):
            self.teardown("fit")  # what was best until then is reported on
        elif self.stream is not None:
            self.stream.close()

    def val_dataloader(self) -> DataLoader:
        """One item: a part of all validation songs."""
        return DataLoader(ValidationSongs(self.validation_songs), batch_size=None, collate_fn=lambda songs: songs)

    def validation_songs(self) -> list[Pair]:
        """`val_seconds` of each validation song."""
        songs = self.parts["val"]
        if self.val_seconds is None:
            return songs
        return [self._part(song, round(self.val_seconds * self.sample_rate)) for song in songs]

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Segments go to the device; songs to be rendered stay, since the compiled renderer is the CPU's."""
        if isinstance(batch[0], Pair):
            return batch
        return super().transfer_batch_to_device(batch, device, dataloader_idx)
