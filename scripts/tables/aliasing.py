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
        "| run | oversampling | aliasing at 2093 / 4186 Hz (dB) | songs against x1: median ESR | worst "
        "| worst against x8, which aliases least | cost |\n|---|---|---|---|---|---|---|"
    )
    taken: dict[int, list[tuple[float, ...]]] = {factor: [] for factor in FACTORS}
    for folder in map(Path, options.runs):
        songs, wets, rows = [], {}, {}
        for factor in FACTORS:
            emulation = load(folder, factor)
            rate = emulation.sample_rate
            songs = songs or _songs(rate)
            play = partial(render_many, emulation.loop)
            found = tuple(aliasing_db(play, [hz], rate) for hz in NOTES_HZ)
            wets[factor] = [emulation(song, rate) for song in songs]
            stream = Stream(emulation.loop)
            (spent,) = fastest(lambda stream=stream, song=songs[0]: stream.process(song))
            rows[factor] = *found, spent
        *alone, seconds = rows[1]
        for factor, (low, high, spent) in rows.items():
            changes, left = (_changes(wets[factor], wets[other]) for other in (1, FACTORS[-1]))
            taken[factor].append((low - alone[0], high - alone[1], median(changes), spent / seconds))
            print(
                f"| {folder.name} | x{factor} | {low:.0f} / {high:.0f} | {median(changes):.0e} | {max(changes):.0e} "
                f"| {max(left):.0e} | {spent / seconds:.2f} |",
                flush=True,
            )
    for factor, rows in taken.items():
        low, high, change, cost = (median(column) for column in zip(*rows, strict=True))
        print(f"| median | x{factor} | {low:+.0f} / {high:+.0f} | {change:.0e} | | | {cost:.2f} |")


def _changes(wets: list[Tensor], others: list[Tensor]) -> list[float]:
    return [esr(wet, other) for wet, other in zip(wets, others, strict=True)]


def _songs(rate: int) -> list[Tensor]:
    """The first seconds of each example song at full scale."""
    return [peak_normalize(decode(path, rate)[0])[: SONG_S * rate] for path in list_audio_files(str(ROOT / "examples"))]
