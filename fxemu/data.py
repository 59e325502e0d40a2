"""The LightningDataModule: a library and an effect become batches of random segments, split by song."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from fxemu.cache import WetCache
from fxemu.effects import Effect, Recorded
from fxemu.gains import DrawnGains, check_gains
from fxemu.library import PARTS, LibraryError, Skipped, choose, list_audio_files, read_songs, split_songs
from fxemu.recordings import read_recordings, split_recordings
from fxemu.slices import gather, segment_samples, segment_starts


@dataclass(frozen=True)
class Pair:
    """A song and what the effect makes of it: float32 (samples,) each."""

    name: str
    dry: Tensor
    wet: Tensor


class RandomSegments(Dataset):
    """Batches of segments cut anywhere from the songs, the same ones for the same seed and number.

    Item i is (dry, wet), each (batch_size, 1, samples): a song is drawn in proportion to its length.
    """

    def __init__(self, pairs: list[Pair], samples: int, batch_size: int, batches: int, seed: int) -> None:
        self.samples, self.batch_size, self.batches, self.seed = samples, batch_size, batches, seed
        self.dry, self.wet = (torch.cat([getattr(pair, side) for pair in pairs]) for side in ("dry", "wet"))
        counts = torch.tensor([segment_starts(pair.dry.numel(), 1, samples) for pair in pairs])
        lengths = torch.tensor([pair.dry.numel() for pair in pairs])
        self.ends = counts.cumsum(0)
        # How far a start, counted over all songs, lies behind its place in the joined audio.
        self.shifts = (lengths - counts).cumsum(0) - (lengths - counts)
        self.epoch = 0

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        number = self.epoch * self.batches + index
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + number) % 2**63)
        places = torch.randint(int(self.ends[-1]), (self.batch_size,), generator=generator)
        starts = places + self.shifts[torch.searchsorted(self.ends, places, right=True)]
        return gather(self.dry, starts, self.samples)[:, None], gather(self.wet, starts, self.samples)[:, None]


class SongData(pl.LightningDataModule):
    """Random segments of a song library through an effect.

    Args:
        effect: makes wet of dry.
        context: samples of true past that the predictor needs before the first prediction (its warm-up).
        library: folder of songs.
        sample_rate: in Hz, 8000 to 192000; all songs are resampled to it.
        file_count: songs picked at random from the library; null for all.
        segment: predictions in a training segment, K; the longest rollout that training asks for.
        batch_size: segments in a batch.
        batches_per_epoch: between two validations.
        val_share, test_share: shares of the songs, 0 to 1, together below 1.
        split_seed: decides which songs are held out.
        gain_db: lowest and highest gain on training songs before the effect, -80 to 0 dB: each is drawn anew as
            training goes on (see `gains.py`). Songs to validate and test on stay at 0 dB, a peak of full scale.
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
        file_count: int | None = 100,
        segment: int = 256,
        batch_size: int = 64,
        batches_per_epoch: int = 400,
        val_share: float = 0.15,
        test_share: float = 0.2,
        split_seed: int = 0,
        gain_db: Sequence[float] = (0.0, 0.0),
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
        if min(segment, batch_size, batches_per_epoch) < 1:
            raise ValueError("data.segment, data.batch_size and data.batches_per_epoch must each be at least 1")
        check_gains(gain_db)
        if isinstance(effect, Recorded) and any(gain_db):
            raise ValueError("data.gain_db: recordings cannot be played again at another gain; leave it at [0, 0]")
        self.effect, self.library, self.sample_rate, self.file_count = effect, library, sample_rate, file_count
        self.samples = segment_samples(context + 1, segment)
        self.batch_size, self.batches_per_epoch = batch_size, batches_per_epoch
        self.shares, self.split_seed, self.seed = (val_share, test_share), split_seed, seed
        self.gain_db: tuple[float, float] = tuple(map(float, gain_db))
        self.gains: DrawnGains | None = None
        self.cache = WetCache(cache, cache_gb)
        self.skipped = Skipped()
        self.parts: dict[str, list[Pair]] = {}

    def setup(self, stage: str | None = None) -> None:
        """Read, split and process the songs, or read recordings of the effect in their stead, once.

        Raises:
            LibraryError: for a missing or empty library, or too few usable songs.
            EffectError: for an effect that does not return a wet signal.
        """
        if self.parts:
            return
        if isinstance(self.effect, Recorded):
            recordings = read_recordings(self.effect, self.sample_rate)
            parts = split_recordings(recordings, self.samples, *self.shares, self.split_seed)
            self.parts = {part: [Pair(r.name, r.dry, r.wet) for r in parts[part]] for part in PARTS}
            return
        paths = list_audio_files(self.library)
        if not paths:
            raise LibraryError(f"{self.library}: no songs in it or below it (aac, flac, m4a, mp3, mp4, ogg, wav)")
        paths = choose(paths, self.file_count, self.seed)
        songs = read_songs(paths, self.sample_rate, self.samples, self.skipped, self.library)
        if not songs:
            raise LibraryError(f"{self.library}: none of its {len(paths)} file(s) can be used\n{self.skipped}")
        names = split_songs([song.name for song in songs], *self.shares, self.split_seed)
        pairs = {
            song.name: Pair(song.name, song.dry, self.cache.wet(self.effect, song.dry, self.sample_rate))
            for song in songs
        }
        self.parts = {part: [pairs[name] for name in names[part]] for part in PARTS}

    def wet_peak(self) -> float:
        """The largest wet sample of the training songs."""
        return max(float(pair.wet.abs().max()) for pair in self.parts["train"])

    def train_dataloader(self) -> DataLoader:
        epoch = self.trainer.current_epoch if self.trainer else 0
        if self.gains is None:
            songs = [(pair.dry, pair.wet) for pair in self.parts["train"]]
            self.gains = DrawnGains(songs, self.effect, self.sample_rate, self.gain_db, self.seed)
        pairs = [Pair(pair.name, *song) for pair, song in zip(self.parts["train"], self.gains.at(epoch), strict=True)]
        dataset = RandomSegments(pairs, self.samples, self.batch_size, self.batches_per_epoch, self.seed)
        dataset.epoch = epoch
        return DataLoader(dataset, batch_size=None)

    def val_dataloader(self) -> DataLoader:
        """One item: all validation songs, to be rendered side by side."""
        return DataLoader([self.parts["val"]], batch_size=None, collate_fn=lambda songs: songs)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Segments go to the device; songs to be rendered stay, since the compiled renderer is the CPU's."""
        if isinstance(batch[0], Pair):
            return batch
        return super().transfer_batch_to_device(batch, device, dataloader_idx)
