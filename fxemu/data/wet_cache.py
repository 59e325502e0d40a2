"""A cache of wet songs on disk, so that an effect that needs whole songs runs once a song."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from platformdirs import user_cache_path
from torch import Tensor

from fxemu.effects import Effect
from fxemu.errors import check_range
from fxemu.files import rename_synced


class WetCache:
    """Keeps wet signals under a hash of the effect's identity, the sample rate and the dry samples.

    A file appears whole or not at all, so a run that is killed leaves nothing half written, and two runs may share
    a folder. Beyond the limit the files that were not used for longest go.

    Args:
        folder: where to; None for fxemu's folder among the user's caches.
        limit_gb: most that the folder may hold, 0.001 to 10000 GB.
    """

    def __init__(self, folder: str | None = None, limit_gb: float = 10.0) -> None:
        check_range("cache_gb", limit_gb, 0.001, 10_000, "GB")
        self.folder = Path(folder).absolute() if folder else user_cache_path("fxemu", appauthor=False)
        self.limit_bytes = int(limit_gb * 1e9)
        self.writable = True

    def wet(self, effect: Effect, dry: Tensor, sample_rate: int, start: int = 0) -> Tensor:
        """Return `effect(dry, sample_rate, start)`, from disk if it is there; an effect that is not cacheable runs."""
        if start or not is_cacheable(effect):
            return effect(dry, sample_rate, start)
        identity = effect.identity()
        key = hashlib.sha256(f"1 {identity} {sample_rate} ".encode() + dry.numpy().tobytes()).hexdigest()
        path = self.folder / f"{key}.npy"
        wet = _load(path, dry.numel())
        if wet is None:
            wet = effect(dry, sample_rate)
            try:
                if self.writable:
                    self._store(path, wet)
            except OSError as error:
                self.writable = False
                logging.getLogger(__name__).warning(
                    "the cache %s cannot be written (%s): the effect will run again next time", self.folder, error
                )
        return wet

    def wrap(self, effect: Effect) -> Effect:
        """An effect that looks into this cache before it runs the given one."""
        return _Cached(effect, self)

    def _store(self, path: Path, wet: Tensor) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(suffix=".part", dir=self.folder)
        try:
            with os.fdopen(handle, "wb") as file:
                np.save(file, wet.numpy(), allow_pickle=False)
            rename_synced(Path(temporary), path)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise
        self._shrink()

    def _shrink(self) -> None:
        """Remove the least recently used files until the limit holds, and half-written ones that are an hour old."""
        files = []
        for path in self.folder.iterdir():
            try:
                state = path.stat()
            except FileNotFoundError:
                continue
            if path.suffix == ".npy":
                files.append((state.st_mtime_ns, state.st_size, path))
            elif path.suffix == ".part" and time.time() - state.st_mtime > 3600:
                path.unlink(missing_ok=True)
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self.limit_bytes:
                break
            path.unlink(missing_ok=True)
            total -= size


def is_cacheable(effect: Effect) -> bool:
    """True if an effect's wet songs are cached: it needs whole songs, and has an identity to keep them under."""
    return effect.memory_s is None and effect.identity() is not None


class _Cached(Effect):
    def __init__(self, effect: Effect, cache: WetCache) -> None:
        self.effect, self.cache, self.memory_s = effect, cache, effect.memory_s

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        return self.cache.wet(self.effect, dry, sample_rate, start)


def _load(path: Path, samples: int) -> Tensor | None:
    """A wet signal from disk, marked as just used; None where there is none, or a damaged one."""
    try:
        wet = np.load(path, allow_pickle=False)
        os.utime(path)
    except (OSError, ValueError, EOFError):
        return None
    return torch.from_numpy(wet) if wet.shape == (samples,) and wet.dtype == np.float32 else None
