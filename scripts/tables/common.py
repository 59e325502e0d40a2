"""What several tables need: training in a process of its own, the fastest of some times, a place in a page."""

from __future__ import annotations

import io
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TextIO

import torch

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


@contextmanager
def written(page: Path, name: str) -> Iterator[None]:
    """Put what is printed within into a page too, between `<!-- table: NAME -->` and `<!-- end -->`.

    Below it stand the command, the git commit, and the machine.

    Raises:
        SystemExit: if the page has no such place, before anything is measured.
    """
    _around(page, name)
    with redirect_stdout(_Tee(sys.stdout)) as printed:
        yield
    command = shlex.join(["python", "scripts/benchmark.py", *_without_write(sys.argv[1:])])
    source = f"`{command}`, commit {_commit()}, {_processor()}, {os.cpu_count()} cores"
    before, after = _around(page, name)
    page.write_text(f"{before}\n\n{_spaced(printed.getvalue())}\n\n{source}\n\n{after}")


class _Tee(io.StringIO):
    """Keeps what is printed, and prints it."""

    def __init__(self, terminal: TextIO) -> None:
        super().__init__()
        self.terminal = terminal

    def write(self, text: str) -> int:
        self.terminal.write(text)
        self.terminal.flush()
        return super().write(text)


def _around(page: Path, name: str) -> tuple[str, str]:
    """What the page has up to the table's marker, that included, and from its end on."""
    begin, end = f"<!-- table: {name} -->", "<!-- end -->"
    before, found, rest = page.read_text().partition(begin) if page.is_file() else ("", "", "")
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise SystemExit(f"--write: {page} has no place for the table: put `{begin}` and `{end}` there, a line each")
    return before + begin, end + after


def _spaced(text: str) -> str:
    """Lines with an empty one between those that are not rows of one table, as Markdown asks for."""
    lines: list[str] = []
    for line in filter(None, text.splitlines()):
        if lines and not (line.startswith("|") and lines[-1].startswith("|")):
            lines.append("")
        lines.append(line)
    return "\n".join(lines)


def _without_write(words: list[str]) -> list[str]:
    place = words.index("--write")
    return words[:place] + words[place + 2 :]


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    # The pages themselves are changed by every table that is written.
    changed = git("status", "--porcelain", "fxemu", "conf", "scripts", "examples")
    return git("rev-parse", "--short", "HEAD") + (" with changes" if changed else "")


def _processor() -> str:
    """The processor's name, such as "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz"."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
