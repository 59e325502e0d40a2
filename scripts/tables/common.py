"""What several tables need: training in a process of its own, finished runs, the fastest of some times."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
SAMPLE_RATE = 44_100


def one_thread() -> None:
    """One thread, and denormals flushed to zero: what every speed is measured with."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def train(overrides: list[str], threads: int) -> dict:
    """Train in a process of its own; what its metrics.json holds."""
    with tempfile.TemporaryDirectory() as folder:
        run_training(overrides, threads, Path(folder))
        return json.loads((Path(folder) / "metrics.json").read_text())


def run_training(overrides: list[str], threads: int, folder: Path) -> None:
    """Train in a process of its own, into a folder; SystemExit where it fails."""
    command = [sys.executable, "train.py", *overrides, f"threads={threads}", f"hydra.run.dir={folder}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(overrides)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def finished_runs(study: str) -> list[tuple[dict, dict]]:
    """What metrics.json and config.yaml hold, of each finished run of a study; SystemExit where there is none."""
    folders = [path.parent for path in sorted((ROOT / "outputs" / study).glob("*/metrics.json"))]
    if not folders:
        raise SystemExit(f"no finished run in outputs/{study}: run `python train.py -m study={study}` first")
    return [
        (json.loads((folder / "metrics.json").read_text()), yaml.safe_load((folder / "config.yaml").read_text()))
        for folder in folders
    ]


def chosen(rows: Sequence[str], names: Iterable[str]) -> list[str]:
    """The names that --rows asks for, all where it asks for none; SystemExit for one that there is not."""
    names = list(dict.fromkeys(names))
    if unknown := set(rows) - set(names):
        raise SystemExit(f"--rows: got {sorted(unknown)}; choose from {names}")
    return [name for name in names if not rows or name in rows]


def fastest(*runs: Callable[[], object], times: int = 5, clock: Callable[[], float] = time.perf_counter) -> list[float]:
    """The shortest of some times of each run, in seconds; the runs take turns.

    With `clock=time.thread_time` what other programs take of the processor does not count.
    """
    best = [float("inf")] * len(runs)
    for _ in range(times):
        for i, run in enumerate(runs):
            start = clock()
            run()
            best[i] = min(best[i], clock() - start)
    return best
