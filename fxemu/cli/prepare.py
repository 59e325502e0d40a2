"""`fxemu prepare`: run an effect that needs whole songs ahead of training, on all cores or on a Ray cluster.

It takes the options of the training, which then finds every wet song in its cache (`data.cache`). Each song is kept as
soon as it is made, so after an interruption the same command continues.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial

import torch
from hydra import compose, initialize_config_dir
from tqdm import tqdm

from fxemu.audio.decoding import read
from fxemu.audio.source import AudioError
from fxemu.cli.errors import one_line_errors
from fxemu.data.module import SongData
from fxemu.data.stream import WHOLE_S
from fxemu.data.wet_cache import WetCache, is_cacheable
from fxemu.effects import Effect
from fxemu.errors import ConfigError, UserError
from fxemu.files import printable
from fxemu.library.index import Entry
from fxemu.library.songs import read_audio_normalized
from fxemu.training.overrides import arguments as overrides
from fxemu.training.overrides import config_errors
from fxemu.training.parts import build_parts
from fxemu.training.run import build
from fxemu.training.run_folder import CONF

# How often a song is started again when the machine that processed it is lost.
RETRIES = 10
MOST_JOBS = 256
Submit = Callable[..., Future]


def make_wet(effect: Effect, cache: WetCache, sample_rate: int, path: str, peak: float | None) -> str | None:
    """Make a song wet and keep it, unless it is kept already; returns why if the song cannot be used.

    Args:
        effect: one that needs whole songs.
        cache: where to.
        sample_rate: in Hz.
        path: of the song.
        peak: of the whole song, for the first WHOLE_S seconds of it, as a stream uses them; None for all of it.
    """
    try:
        if peak is None:
            dry = read_audio_normalized(path, sample_rate)
        else:
            dry = read(path, sample_rate, 0, WHOLE_S).samples / peak
    except AudioError as error:
        return str(error)
    cache.wet(effect, torch.from_numpy(dry), sample_rate)
    return None


def songs(data: SongData) -> list[tuple[str, float | None]]:
    """`path` and `peak` for `make_wet`, of all songs that a training on this data may use.

    Raises:
        ConfigError: for an effect that is not kept, gains drawn in training, or a cache too small for all.
    """
    if not is_cacheable(data.effect):
        raise ConfigError("effect: it needs no whole songs, or they cannot be kept; training runs it as it needs it")
    if data.gain_db != (0.0, 0.0):
        raise ConfigError(f"data.gain_db: got {list(data.gain_db)}; must be [0,0]: the effect comes after that gain")
    scan = data.scan_library().scan
    streamed = scan.hours_exceed(data.memory_hours, data.selection.matches)
    scan.wait(lambda entries: False)
    chosen = [entry for entry in scan.known().values() if not entry.error and data.selection.matches(entry)]
    needed = 4 * data.sample_rate * sum(_seconds(entry, streamed) for entry in chosen)
    if needed > data.cache.limit_bytes:
        limit = data.cache.limit_bytes / 1e9
        raise ConfigError(f"data.cache_gb: got {limit:g}; {len(chosen)} wet song(s) take {needed / 1e9:.3f} GB")
    return sorted((entry.path, entry.peak if streamed else None) for entry in chosen)


def _seconds(entry: Entry, streamed: bool) -> float:
    return min(entry.duration_s, WHOLE_S) if streamed else entry.duration_s


@contextmanager
def process_pool(jobs: int) -> Iterator[Submit]:
    """Submit function of a pool of `jobs` processes on this machine."""
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _alone)
    try:
        yield pool.submit
    except BrokenProcessPool as error:
        raise UserError(f"a process of --jobs was killed, for want of memory perhaps: {error}") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _alone() -> None:
    """A process has one core, and Ctrl-C is for its parent."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def ray_cluster() -> Iterator[Submit]:
    """Submit function of the running Ray cluster, or of a new one of this machine alone."""
    try:
        import ray
    except ImportError as error:
        raise ConfigError('--ray: Ray is not installed: pip install "fxemu[ray]"') from error
    ray.init(log_to_driver=False)
    try:
        yield lambda function, *given: ray.remote(max_retries=RETRIES)(function).remote(*given).future()
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        raise ConfigError(f"--ray: {error}") from error
    finally:
        ray.shutdown()


def prepare(data: SongData, submit: Submit, todo: list[tuple[str, float | None]]) -> list[str]:
    """Process and keep all songs, with a line of progress; returns why songs cannot be used."""
    work = partial(submit, make_wet, data.effect, data.cache, data.sample_rate)
    futures = [work(*song) for song in todo]
    done = tqdm(as_completed(futures), total=len(todo), unit=" songs", mininterval=1)
    return [problem for future in done if (problem := future.result())]


@one_line_errors("\ninterrupted; what was made is kept, and the same command continues from there")
def main(arguments: list[str]) -> None:
    """`fxemu prepare [--jobs N | --ray] OPTION=VALUE...`."""
    parser = argparse.ArgumentParser("fxemu prepare", description=__doc__)
    parser.add_argument("options", metavar="OPTION=VALUE", nargs="+", help="as for training: effect=command ...")
    where = parser.add_mutually_exclusive_group()
    cores = min(MOST_JOBS, os.cpu_count() or 1)
    where.add_argument("--jobs", type=int, default=cores, help="songs at once (default: all cores)")
    where.add_argument("--ray", action="store_true", help="on all machines of the Ray cluster that is running")
    given = parser.parse_args(arguments)
    if not 1 <= given.jobs <= MOST_JOBS:
        raise ConfigError(f"--jobs: got {given.jobs}; must be from 1 to {MOST_JOBS}")
    with config_errors(), initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", overrides(given.options))
    data, _ = build(config, build_parts(config))
    todo = songs(data)
    with ray_cluster() if given.ray else process_pool(given.jobs) as submit:
        problems = prepare(data, submit, todo)
    for problem in problems:
        print(f"skipped {problem}", file=sys.stderr)
    print(f"{len(todo) - len(problems)} wet song(s) in {printable(data.cache.folder)}")
