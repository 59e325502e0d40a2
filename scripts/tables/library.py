"""Indexes and streams libraries of links to the songs in examples/: start, speed and memory (10 minutes)."""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from pytorch_optimizer import SOAP

from fxemu.audio.loudness import measure
from fxemu.data.module import SongData
from fxemu.data.sources import Streamed
from fxemu.effects import Distortion
from fxemu.library.index import Index
from fxemu.library.songs import list_audio_files
from fxemu.models import MLP
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import Raw
from tables.common import ROOT, one_thread


def run(options: argparse.Namespace) -> None:
    """Print what the model takes, what one core indexes, and a row for each size of library."""
    sizes, steps = options.files, consumption()
    print(f"the default model takes {steps:.0f} batches of 64 segments a second in teacher forcing, on one thread")
    paths = list_audio_files(ROOT / "examples")
    seconds, spent = indexing(paths)
    print(f"one core indexes {seconds / spent:.0f} s of audio a second ({seconds:.0f} s in all seven formats)\n")
    print(
        "| files | hours | first start | next start | batches/s while indexing | indexed | over the model's | memory |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            for number in range(size):
                song = Path(paths[number % len(paths)])
                os.symlink(song, Path(folder) / f"{number}{song.suffix}")
            starts = [first_step(folder) for _ in range(2)]
            first, then = (_apart(library_row, folder) for _ in range(2))
        print(
            f"| {size} | {first['hours']:.1f} | {starts[0]:.1f} s | {starts[1]:.1f} s | {first['supply']:.0f} "
            f"| {then['supply']:.0f} | {then['supply'] / steps:.1f}x | {max(first['mb'], then['mb']):.0f} MB |",
            flush=True,
        )


def _apart(function, *arguments):
    """Call a function in a fresh process, whose memory is its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def consumption(steps: int = 60) -> float:
    """Optimizer steps a second of the default model in its teacher-forced stage."""
    one_thread()
    loop = ClosedLoop(MLP(channels=1, params=1, feedback_window=32), Raw(), Raw())
    optimizer = SOAP(loop.parameters(), lr=1e-3)
    dry = torch.rand(64, 1, loop.warm_up + 1 + 64) - 0.5
    start = time.perf_counter()
    for _ in range(steps):
        optimizer.zero_grad()
        (loop.teacher_forced(dry, dry)[0][..., -64:] - dry[..., -64:]).square().mean().backward()
        optimizer.step()
    return steps / (time.perf_counter() - start)


def indexing(paths: list[str]) -> tuple[float, float]:
    """Seconds of audio, and the seconds of one core that measuring them took."""
    start = time.process_time()
    return sum(measure(path).duration_s for path in paths), time.process_time() - start


def first_step(folder: str) -> float:
    """Seconds from the start of `train.py` to its first optimizer step, seen by the checkpoint that follows it."""
    with tempfile.TemporaryDirectory() as runs:
        options = f"data.library={folder}", f"data.index={folder}/start.sqlite", f"hydra.run.dir={runs}/run"
        command = [sys.executable, str(ROOT / "train.py"), "training.steps=1", *options]
        begun = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not (Path(runs) / "run" / "checkpoints" / "last.ckpt").is_file():
            if process.poll() is not None:
                raise RuntimeError(f"training ended with {process.returncode} before its first step")
            time.sleep(0.01)
        seconds = time.perf_counter() - begun
        process.kill()
        process.wait()
    return seconds


def library_row(folder: str) -> dict[str, float]:
    """Stream from a library as a training does for 15 s, and wait until all of it is indexed."""
    torch.set_num_threads(1)
    most, done = [0.0], threading.Event()
    threading.Thread(target=_watch_memory, args=(most, done), daemon=True).start()
    data = SongData(Distortion(), 255, folder, index=f"{folder}/index.sqlite", batches_per_epoch=10**9)
    data.setup()
    batches = data.train_dataloader().dataset
    batches[0]
    begun = time.perf_counter()
    count = next(n for n in itertools.count(1) if batches[n] and time.perf_counter() - begun > 15)
    if isinstance(data.source, Streamed):
        data.source.stream.songs.scan.wait(lambda entries: False)
    done.set()
    data.teardown("fit")
    hours = sum(entry.duration_s for entry in Index(f"{folder}/index.sqlite").below(folder)) / 3600
    return {"hours": hours, "supply": count / 15, "mb": most[0]}


def _watch_memory(most: list[float], done: threading.Event) -> None:
    """Keep in `most` the largest memory of this process and its decoders together, in MB, shared pages counted once."""
    while not done.wait(0.25):
        children = (_text(task / "children").split() for task in Path("/proc/self/task").iterdir())
        most[0] = max(most[0], sum(map(_proportional_mb, {"self", *itertools.chain(*children)})))


def _text(path: Path) -> str:
    """What a file holds; nothing if it is gone, as threads and processes will be."""
    try:
        return path.read_text()
    except OSError:
        return ""


def _proportional_mb(pid: str) -> float:
    lines = _text(Path(f"/proc/{pid}/smaps_rollup")).splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
