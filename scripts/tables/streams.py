"""Times a stream on each core against one alone, in the compiled renderer and in C if it can be built (3 minutes)."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import torch

from fxemu.engine.streaming.stream import render_many
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import Raw
from tables.c_loops import build
from tables.common import SAMPLE_RATE, fastest, one_thread
from tables.render import families

# Pairs of times, one stream and many, whose ratios have their median printed.
TURNS = 12
# Long enough that the threads do not begin and end for most of it.
SONG_S = 40


def run(options: argparse.Namespace) -> None:
    """Print a row for each family."""
    one_thread()
    cores, made = os.cpu_count() or 1, families()
    songs = [torch.rand(SONG_S * SAMPLE_RATE) - 0.5] * cores
    print(f"| family | rate of {cores} streams on {cores} cores over that of one | C |\n|---|---|---|")
    for name in ("mlp", "lstm", "wavenet"):
        loop = ClosedLoop(made[name], Raw(), Raw())
        ours = _ratio(lambda loop=loop: _render(loop, songs[:1]), lambda loop=loop: _render(loop, songs), cores)
        theirs = ""
        if shutil.which("cc"):
            play, pool = build(made[name]), ThreadPoolExecutor(cores)
            many = lambda play=play, pool=pool: list(pool.map(play, songs))  # noqa: E731
            theirs = f"{_ratio(lambda play=play: play(songs[0]), many, cores):.2f}"
        print(f"| {name} | {ours:.2f} | {theirs} |", flush=True)


def _render(loop: ClosedLoop, songs: list[torch.Tensor]) -> None:
    torch.set_num_threads(len(songs))
    render_many(loop, songs)


def _ratio(one: Callable[[], object], many: Callable[[], object], cores: int) -> float:
    """The rate of `many`, which plays a song on each core, over that of `one`: one after the other each time."""
    rates = [cores * alone / together for alone, together in (fastest(one, many, times=1) for _ in range(TURNS))]
    return median(rates)
