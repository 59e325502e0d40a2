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
from fxemu.data.levels import with_sound
from fxemu.data.segments import RemainingBatches, ValidationSongs
from fxemu.data.settings import DrawnSettings, at_settings
from fxemu.data.shard import WHOLE, Shard
from fxemu.data.sources import BatchSizes, InMemory, Source, Streamed
from fxemu.data.stream import MeasuredSongs
from fxemu.data.wet_cache import WetCache
from fxemu.effects import Effect, EffectError
from fxemu.errors import TrainingDivergedError, check_least, check_sample_rate
from fxemu.evaluation.validation import WrongHistoryPiece, wrong_history_pieces
from fxemu.files import printable
from fxemu.library.index import Range, Selection
from fxemu.library.pair import Pair
from fxemu.library.recordings.pairs import read_recordings
from fxemu.library.recordings.split import split_recordings
from fxemu.library.scan import LibraryScan, scan_library
from fxemu.library.songs import PARTS, LibraryError, Skipped, check_shares, read_songs, split_songs
from fxemu.slices import segment_samples


class SongData(pl.LightningDataModule):
    """Random segments of a song library through an effect.

    Args:
        effect: from dry to wet.
        context: samples of true past that the predictor needs before the first prediction (its warm-up).
        library: folder of songs.
        sample_rate: in Hz, 8000 to 192000; all songs are resampled to it.
        glob: which songs, by their path below the library.
        duration_s, loudness_lufs: (lowest, highest) of a song; null for any.
        tags: patterns of tags that must all fit, by name (title, artist, album, genre, date, composer); null for any.
        file_count: songs picked at random of those that `glob` takes, before the selection; null for all.
        index: file of the measurements of each song; null for one in the user's cache folder.
        memory_hours: of songs that are kept in memory; of more, stretches are decoded while the model trains.
        excerpts: held-out songs that are then used of each part, EXCERPT_S seconds each, 1 or more.
        segment: predictions in a training segment, K; the longest rollout that training asks for.
        batch_size: segments in a batch, of all processes together if several train at once.
        batches_per_epoch: between two validations.
        val_share, test_share: shares of the songs, 0 to 1, together below 1.
        val_seconds: of each validation song, from its middle, that checkpoints are selected on; null for whole songs.
        split_seed: decides which songs are held out.
        gain_db: lowest and highest gain on training songs before the effect, -80 to 0 dB: each is drawn anew as
            training proceeds (see `gains.py`). Songs to validate and test on stay at 0 dB, a peak of full scale.
        train_seconds: of audio to train on, an equal part from the middle of each training song; null for all there is.
        cache: folder of wet songs, for effects that need whole songs; null for the user's cache folder.
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
        batches_per_epoch: int = 500,
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
        check_sample_rate("data.sample_rate", sample_rate)
        check_shares(val_share, test_share)
        counts = {"segment": segment, "batch_size": batch_size, "batches_per_epoch": batches_per_epoch}
        check_least(1, **{f"data.{name}": count for name, count in {**counts, "excerpts": excerpts}.items()})
        check_least(len(PARTS), **{} if file_count is None else {"data.file_count": file_count})
        check_least(0, **{"data.memory_hours": memory_hours})
        check_gains(gain_db)
        if any(gain_db) and not effect.replayable:
            raise ValueError("data.gain_db: recordings cannot be played again at another gain; leave it at [0, 0]")
        self.selection = Selection(duration_s and tuple(duration_s), loudness_lufs and tuple(loudness_lufs), tags)
        self.effect, self.library, self.sample_rate, self.file_count = effect, library, sample_rate, file_count
        self.glob, self.index, self.memory_hours, self.excerpts = glob, index, memory_hours, excerpts
        self.sizes = BatchSizes(segment_samples(context + 1, segment), batch_size, batches_per_epoch, seed)
        self.split = (val_share, test_share, split_seed)
        self.gain_db: tuple[float, float] = tuple(map(float, gain_db))
        for name, seconds in (("train", train_seconds), ("val", val_seconds)):
            if seconds is not None and not seconds > 0:
                raise ValueError(f"data.{name}_seconds: got {seconds}; must be above 0, or null for all")
        self.train_seconds, self.val_seconds = train_seconds, val_seconds
        self.cache = WetCache(cache, cache_gb)
        self.cached_effect = self.cache.wrap(effect)
        self.skipped = Skipped()
        self.source: Source | None = None

    def setup(self, stage: str | None = None) -> None:
        """Open the source of pairs, once; of a large library, only as many songs are read as are needed to begin.

        Raises:
            LibraryError: for a missing or empty library, or too few usable songs.
            EffectError: for an effect that does not return a wet signal, or only silence.
        """
        if self.source is not None:
            return
        self.source = self._opened()
        self.named = len(self.skipped.reasons)
        if self.wet_peak() == 0:
            raise EffectError("the effect makes silence of every training song: look at its output and its options")

    def share(self, other: SongData, training: list[Pair] | None = None) -> None:
        """Use the songs that another module has read, and cut segments of them in sizes of its own.

        Args:
            other: that has read them.
            training: the songs to train on, or parts of them (None: those of the other).

        Raises:
            LibraryError: if none of them holds a segment.
        """
        training = other.parts["train"] if training is None else training
        longest = max(pair.dry.numel() for pair in training)
        if longest < self.sizes.samples:
            raise LibraryError(f"no song has the {self.sizes.samples} samples of a training segment; at most {longest}")
        self.source = self._in_memory({**{part: other.parts[part] for part in PARTS}, "train": training})
        self.named = len(self.skipped.reasons)

    def _opened(self) -> Source:
        if not self.effect.replayable:
            pairs = read_recordings(self.effect, self.sample_rate)
            return self._in_memory(split_recordings(pairs, self.sizes.samples, *self.split))
        library = self.scan_library()
        if library.scan.hours_exceed(self.memory_hours, self.selection.matches):
            return self._streamed(library)
        return self._in_memory(self._read(library))

    def scan_library(self) -> LibraryScan:
        """List the files of the library, and begin to measure them; LibraryError if there is none."""
        *shares, split_seed = self.split
        files = self.library, self.glob, self.file_count, self.index
        return scan_library(*files, self.excerpts, tuple(shares), split_seed, self.sizes.seed)

    def _in_memory(self, parts: dict[str, list[Pair]]) -> InMemory:
        training = parts["train"]
        if self.train_seconds is not None:
            samples = max(self.sizes.samples, round(self.train_seconds * self.sample_rate / len(training)))
            training = [self._excerpt(pair, samples) for pair in training]
        parts = {**parts, "train": training}
        if self.effect.turnable:
            shortest = self.sizes.samples
            drawn = self.effect, self.sample_rate, self.gain_db, shortest, self.sizes.seed, self.cache.wrap
            gains = DrawnSettings(training, *drawn)
            if parts["val"][0].knobs is None:
                parts["val"] = at_settings(parts["val"], self.effect, self.sample_rate, shortest, self.split[2])
        else:
            gains = DrawnGains(training, self.effect, self.sample_rate, self.gain_db, self.sizes.seed)
        return InMemory(parts, self.cached_effect, gains, self.sizes)

    def _read(self, library: LibraryScan) -> dict[str, list[Pair]]:
        """The selected songs of a library and their wet signals, by part."""
        entries = {path: library.scan.entries[os.path.abspath(path)] for path in library.files}
        for path, entry in entries.items():
            if entry.error:
                self.skipped.add(path, f"{printable(path)}: {entry.error}")
        paths = [path for path, entry in entries.items() if not entry.error and self.selection.matches(entry)]
        songs = read_songs(paths, self.sample_rate, self.sizes.samples, self.skipped, self.library)
        if not songs:
            raise LibraryError(
                f"{self.library}: none of its {len(entries)} file(s) can be used and is selected\n{self.skipped}"
            )
        names = split_songs([song.name for song in songs], *self.split)
        pairs = {song.name: Pair(song.name, song.dry, self.cached_effect(song.dry, self.sample_rate)) for song in songs}
        parts = {part: [pairs[name] for name in names[part]] for part in PARTS}
        if any(pair.wet.any() for pair in parts["train"]):
            parts |= {part: with_sound(parts[part], part, self.skipped) for part in ("val", "test")}
        return parts

    def _streamed(self, library: LibraryScan) -> Streamed:
        for option, given in (("knobs", self.effect.turnable), ("data.train_seconds", self.train_seconds is not None)):
            if given:
                raise LibraryError(
                    f"{option}: a library of more than data.memory_hours={self.memory_hours} is streamed, which goes "
                    "without; choose fewer songs with data.file_count, or raise data.memory_hours"
                )
        common = library.scan, self.selection, self.sample_rate, self.sizes.samples, self.skipped
        names = split_songs(library.songs, *self.split)
        songs = {part: MeasuredSongs({name: library.songs[name] for name in names[part]}, *common) for part in PARTS}
        return Streamed(songs, self.cached_effect, self.gain_db, self.excerpts, self.split[2], self.sizes)

    def _excerpt(self, pair: Pair, samples: int) -> Pair:
        """The middle of a song; of an effect with an oscillator its start, where alone the phase is known."""
        return pair.middle(samples) if self.effect.rate_hz is None else pair.start(samples)

    @property
    def parts(self) -> Mapping[str, list[Pair]]:
        """The pairs by "train", "val" and "test"."""
        return self.source.parts

    def pairs_to_fit(self) -> list[Pair]:
        """The training songs; of an effect whose knobs are drawn those of the first epoch at which they stand still."""
        if not self.effect.turnable:
            return self.parts["train"]
        return [pair for pair in self.source.gains.pairs_for_epoch(0) if pair.knobs.dim() == 1]

    def settings_trained_at(self) -> list[Tensor]:
        """Positions (K,) of knobs in training: of recordings all, of drawn ones those of the first epoch."""
        if self.effect.turnable:
            return self.source.gains.settings(0)
        return [pair.knobs for pair in self.parts["train"] if pair.knobs is not None]

    def wet_peak(self) -> float:
        """The largest wet sample of the training songs, in proportion where all of dry is below full scale.

        As excerpts of a streamed library may be, and recordings; to 20 dB at most.
        """
        pairs = self.parts["train"]
        if self.effect.turnable:
            pairs = pairs + self.source.gains.pairs_for_epoch(0)
        dry = max(float(pair.dry.abs().max()) for pair in pairs)
        wet = max(float(pair.wet.abs().max()) for pair in pairs)
        return wet / min(1.0, max(0.1, dry))

    def effect_outputs(self, probes: Sequence[Tensor], knobs: Sequence[Tensor | None] | None = None) -> list[Tensor]:
        """The effect's wet for each dry signal (samples,): silence for all if it cannot process one of them.

        `knobs` are their positions for each, None for their defaults.
        """
        try:
            if self.effect.turnable and knobs is not None:
                turned = zip(probes, knobs, strict=True)
                return [self.effect.at(position)(probe, self.sample_rate) for probe, position in turned]
            return [self.source.process(probe) for probe in probes]
        except EffectError:
            return [torch.zeros_like(probe) for probe in probes]

    def train_dataloader(self) -> DataLoader:
        """The batches of the epoch; on resuming within one, the remaining ones."""
        epoch, done, shard = 0, 0, WHOLE
        if self.trainer:
            epoch, done = self.trainer.current_epoch, self.trainer.fit_loop.epoch_loop.batch_progress.current.ready
            shard = Shard(self.trainer.global_rank, self.trainer.world_size)
        remaining = RemainingBatches(done % self.sizes.batches, self.sizes.batches)
        return DataLoader(self.source.batches(epoch, shard), batch_size=None, sampler=remaining)

    def teardown(self, stage: str) -> None:
        """Read what the report needs, close the source, and name the songs that were skipped while it streamed."""
        for part in PARTS:
            self.parts[part]
        self.source.close()
        if len(self.skipped.reasons) > self.named:
            logging.getLogger(__name__).warning("%s", self.skipped)

    def on_exception(self, exception: BaseException) -> None:
        """Close the source, beside which the next run of a sweep would begin."""
        if isinstance(exception, TrainingDivergedError):
            self.teardown("fit")  # the best model until then is reported on
        elif self.source is not None:
            self.source.close()

    def val_dataloader(self) -> DataLoader:
        """One item: a part of all validation songs."""
        return DataLoader(ValidationSongs(self.validation_songs), batch_size=None, collate_fn=lambda songs: songs)

    def validation_songs(self) -> list[Pair]:
        """`val_seconds` of each validation song."""
        songs = self.parts["val"]
        if self.val_seconds is None:
            return songs
        return [self._excerpt(song, round(self.val_seconds * self.sample_rate)) for song in songs]

    def wrong_history_pieces(self, limit: float) -> list[WrongHistoryPiece]:
        """Wrong pasts for the validation songs; none for an effect with an oscillator, whose phase the past decides.

        Args:
            limit: of what is fed back.
        """
        if self.effect.rate_hz is not None:
            return []
        outputs = self.effect_outputs if self.effect.replayable else None
        return wrong_history_pieces(self.validation_songs(), limit, outputs)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Segments go to the device; songs to be rendered stay, since the compiled renderer is the CPU's."""
        if isinstance(batch[0], Pair):
            return batch
        return super().transfer_batch_to_device(batch, device, dataloader_idx)
