"""The cache of wet songs: what is kept, for whom, how much, and through a kill."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import torch

from fxemu.data.wet_cache import WetCache
from fxemu.effects import Effect

DRY = torch.linspace(-1, 1, 1000)


class Counted(Effect):
    """Counts its runs; works on whole songs only."""

    memory_s = None

    def __init__(self, gain: float = 2.0, name: str | None = "counted") -> None:
        self.gain, self.name, self.runs = gain, name, 0

    def identity(self) -> str | None:
        return self.name and f"{self.name} {self.gain}"

    def process(self, dry, sample_rate, start):
        self.runs += 1
        return dry * self.gain


def runs(cache: WetCache, effect: Counted, dry: torch.Tensor = DRY, sample_rate: int = 8000) -> int:
    assert torch.equal(cache.wet(effect, dry, sample_rate), dry * effect.gain)
    return effect.runs


def test_an_effect_runs_once_a_song(tmp_path):
    effect = Counted()
    assert [runs(WetCache(str(tmp_path)), effect) for _ in range(3)] == [1, 1, 1]


def test_another_song_rate_or_setting_is_another_entry(tmp_path):
    cache, effect = WetCache(str(tmp_path)), Counted()
    assert runs(cache, effect) == 1
    assert runs(cache, effect, DRY + 1e-6) == 2
    assert runs(cache, effect, sample_rate=16_000) == 3
    assert runs(cache, Counted(gain=3)) == 1
    assert len(list(tmp_path.iterdir())) == 4


def test_what_has_no_identity_or_needs_no_whole_song_is_not_kept(tmp_path):
    cache, nameless, sliced = WetCache(str(tmp_path)), Counted(name=None), Counted()
    sliced.memory_s = 0.0
    assert [runs(cache, effect) for effect in (nameless, nameless, sliced, sliced)] == [1, 2, 1, 2]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"no array"])
def test_a_damaged_file_is_made_again(tmp_path, damage):
    cache, effect = WetCache(str(tmp_path)), Counted()
    runs(cache, effect)
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage)
    assert [runs(cache, effect), runs(cache, effect)] == [2, 2]


def test_the_least_recently_used_go_first(tmp_path):
    cache, effect = WetCache(str(tmp_path), limit_gb=0.001), Counted()
    songs = [torch.full((100_000,), float(i)) for i in range(3)]
    for song in songs[:2]:
        runs(cache, effect, song)
    os.utime(next(iter(tmp_path.iterdir())), (1, 1))
    for file in tmp_path.iterdir():
        os.utime(file, (time.time() - 100, time.time() - 100))
    assert runs(cache, effect, songs[0]) == 2
    runs(cache, effect, songs[2])
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 1e6
    assert runs(cache, effect, songs[0]) == 3, "the song just used is still there"
    assert runs(cache, effect, songs[1]) == 4, "the one unused for longest is gone"


def test_the_users_cache_folder_is_the_default(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert WetCache().folder == tmp_path / "fxemu"
    with pytest.raises(ValueError, match="cache_gb: got 0"):
        WetCache(limit_gb=0)


def test_a_folder_that_is_full_or_read_only_costs_only_the_keeping(small_disk, read_only, caplog):
    for folder, reason in ((small_disk(16), "4064 written"), (read_only, "Read-only")):
        caplog.clear()
        cache, effect, dry = WetCache(str(folder)), Counted(), torch.zeros(100_000)
        assert [runs(cache, effect, dry) for _ in range(2)] == [1, 2]
        assert caplog.text.count("cannot be written") == 1 and reason in caplog.text
        assert os.listdir(folder) == []


class Slow(Effect):
    memory_s = None

    def identity(self) -> str:
        return "slow"

    def process(self, dry, sample_rate, start):
        return dry + 1


def write(folder: Path, count: int) -> None:
    for i in range(count):
        wet = WetCache(folder, 0.02).wet(Slow(), torch.full((200_000,), float(i % 40)), 8000)
        assert bool((wet == i % 40 + 1).all()), i


def started(work: Callable[..., None], *given: object) -> BaseProcess:
    """A copy of this process that does some work."""
    process = multiprocessing.get_context("fork").Process(target=work, args=given)
    process.start()
    return process


def test_two_runs_at_once_and_a_killed_one_leave_only_whole_files(tmp_path):
    processes = [started(write, tmp_path, count) for count in (60, 60, 10**6)]
    time.sleep(0.3)
    processes[2].kill()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, -9]
    whole = {path.stat().st_size for path in tmp_path.glob("*.npy")}
    assert whole == {800_128}
    assert sum(path.stat().st_size for path in tmp_path.glob("*.npy")) <= 0.021e9


def half(file: BinaryIO, array: np.ndarray, **_: object) -> None:
    file.write(array.tobytes()[: array.nbytes // 2])
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_run_killed_while_it_writes_leaves_nothing_that_is_read(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(np, "save", half)
        killed = started(write, tmp_path, 1)
        killed.join(60)
    assert killed.exitcode == -signal.SIGKILL
    (part,) = tmp_path.iterdir()
    assert part.suffix == ".part" and part.stat().st_size == 400_000
    write(tmp_path, 1)
    assert part.exists(), "it may be another run's, which still writes"
    (whole,) = tmp_path.glob("*.npy")
    os.utime(part, (time.time() - 4000,) * 2)
    whole.unlink()
    write(tmp_path, 1)
    assert [path.suffix for path in tmp_path.iterdir()] == [".npy"]
