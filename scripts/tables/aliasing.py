"""Aliasing of trained emulations with and without oversampling, and its cost (half a minute a run)."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from statistics import median

from torch import Tensor

from fxemu.audio.tensors import decode, peak_normalize
from fxemu.emulation import load
from fxemu.engine.oversampling import FACTORS
from fxemu.engine.streaming.stream import Stream, render_many
from fxemu.evaluation.measurements.aliasing import aliasing_db
from fxemu.evaluation.metrics import esr
from fxemu.library.songs import list_audio_files
from tables.common import ROOT, fastest, one_thread

NOTES_HZ = 2093.0, 4186.0
SONG_S = 10


def run(options: argparse.Namespace) -> None:
    """Print a row for each run folder given with --runs and each factor, and medians over the runs."""
    if not options.runs:
        raise SystemExit("give the folders of finished runs: --runs outputs/DATE/RUN ...")
    one_thread()
    print(
        "| run | oversampling | aliasing at 2093 / 4186 Hz (dB) | songs against x1: median ESR | worst | cost |\n"
        "|---|---|---|---|---|---|"
    )
    taken: dict[int, list[tuple[float, ...]]] = {factor: [] for factor in FACTORS}
    for folder in map(Path, options.runs):
        songs, plain, alone, seconds = [], [], (0.0, 0.0), 0.0
        for factor in FACTORS:
            emulation = load(folder, factor)
            rate = emulation.sample_rate
            songs = songs or _songs(rate)
            play = partial(render_many, emulation.loop)
            found = tuple(aliasing_db(play, [hz], rate) for hz in NOTES_HZ)
            wets = [emulation(song, rate) for song in songs]
            stream = Stream(emulation.loop)
            (spent,) = fastest(lambda stream=stream, song=songs[0]: stream.process(song))
            if factor == 1:
                plain, alone, seconds = wets, found, spent
            changes = [esr(wet, before) for wet, before in zip(wets, plain, strict=True)]
            taken[factor].append(
                (*(b - a for a, b in zip(alone, found, strict=True)), median(changes), spent / seconds)
            )
            print(
                f"| {folder.name} | x{factor} | {found[0]:.0f} / {found[1]:.0f} | {median(changes):.0e} "
                f"| {max(changes):.0e} | {spent / seconds:.2f} |",
                flush=True,
            )
    for factor, rows in taken.items():
        low, high, change, cost = (median(column) for column in zip(*rows, strict=True))
        print(f"| median | x{factor} | {low:+.0f} / {high:+.0f} | {change:.0e} | | {cost:.2f} |")


def _songs(rate: int) -> list[Tensor]:
    """The first seconds of each example song at full scale."""
    return [peak_normalize(decode(path, rate)[0])[: SONG_S * rate] for path in list_audio_files(str(ROOT / "examples"))]
