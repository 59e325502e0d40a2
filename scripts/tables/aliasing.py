"""Aliasing of trained emulations with and without oversampling, and how songs change by it (1 minute a run).

Songs are at full scale and follow a silence in which every model comes to rest. A song changes by what the filters
take away, dry and wet above their passband, and by what had aliased: `filters alone` plays at the model's own rate
between the same filters.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from statistics import median

from torch import Tensor
from torch.nn import functional as F

from fxemu.audio.tensors import decode, peak_normalize
from fxemu.emulation import load
from fxemu.engine.oversampling import FACTORS, LATENCY
from fxemu.engine.playable import Playable
from fxemu.engine.streaming.stream import render, render_many
from fxemu.evaluation.measurements.aliasing import aliasing_db
from fxemu.evaluation.metrics import esr
from fxemu.library.songs import list_audio_files
from fxemu.models.oversampled import Oversampled, oversampled
from tables.common import ROOT, one_thread

NOTES_HZ = 2093.0, 4186.0
SILENCE_S, SONG_S = 4, 10
COLUMNS = (
    "net, oversampling",
    "aliasing at 2.1 / 4.2 kHz (dB)",
    "songs against x1: median ESR, worst",
    "worst: filters alone",
    "worst against filters alone",
    "worst against x8",
)


class FiltersAlone(Oversampled):
    """A model between the filters of oversampling, at its own rate."""

    def __post_init__(self) -> None:
        pass


def run(options: argparse.Namespace) -> None:
    """Print a row for each run folder given with --runs and each factor, and medians over the runs."""
    if not options.runs:
        raise SystemExit("give the folders of finished runs: --runs outputs/DATE/RUN ...")
    one_thread()
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    taken: dict[int, list[tuple[float, ...]]] = {factor: [] for factor in FACTORS}
    for folder in map(Path, options.runs):
        emulation = load(folder)
        songs = _songs(emulation.sample_rate)
        silence = SILENCE_S * emulation.sample_rate
        loops = {factor: oversampled(emulation.loop, factor) for factor in FACTORS}
        wets = {factor: [_play(loop, song)[silence:] for song in songs] for factor, loop in loops.items()}
        filtered = [_play(FiltersAlone(emulation.loop, 1), song)[silence:] for song in songs]
        rows = {
            factor: [aliasing_db(partial(render_many, loop), [hz], emulation.sample_rate) for hz in NOTES_HZ]
            for factor, loop in loops.items()
        }
        for factor, (low, high) in rows.items():
            pairs = (wets[factor], wets[1]), (filtered, wets[1]), (wets[factor], filtered), (wets[factor], wets[8])
            changes, *others = ([esr(*both) for both in zip(*pair, strict=True)] for pair in pairs)
            taken[factor].append((low - rows[1][0], high - rows[1][1], median(changes)))
            cells = [f"{median(changes):.0e}, {max(changes):.0e}", *(f"{max(x):.0e}" for x in others)]
            print(
                f"| {folder.name}, x{factor} | {low:.0f} / {high:.0f} "
                f"| {' | '.join(cells if factor > 1 else [''] * len(cells))} |",
                flush=True,
            )
    for factor, rows in taken.items():
        low, high, change = (median(column) for column in zip(*rows, strict=True))
        print(f"| median, x{factor} | {low:+.0f} / {high:+.0f} | {change:.0e} | | | |")


def _play(loop: Playable, song: Tensor) -> Tensor:
    """Wet (samples,) of a song, the latency of filters taken out."""
    late = LATENCY if isinstance(loop, Oversampled) else 0
    return render(loop, F.pad(song, (0, late)))[late:]


def _songs(rate: int) -> list[Tensor]:
    """The first seconds of each example song at full scale, after a silence."""
    songs = [
        peak_normalize(decode(path, rate)[0])[: SONG_S * rate] for path in list_audio_files(str(ROOT / "examples"))
    ]
    return [F.pad(song, (SILENCE_S * rate, 0)) for song in songs]
