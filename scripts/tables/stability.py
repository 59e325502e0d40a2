"""Runs trained emulations on what provokes trouble, and on ten minutes of music (a quarter of a minute a run)."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from fxemu.audio.tensors import decode, peak_normalize
from fxemu.emulation.locate import read_model
from fxemu.engine.streaming.stream import render
from fxemu.evaluation.measurements.stability import stability
from fxemu.library.songs import list_audio_files
from tables.common import ROOT

MINUTES = 10


def run(options: argparse.Namespace) -> None:
    """Print a row for each run folder given with --runs."""
    if not options.runs:
        raise SystemExit("give the folders of finished runs: --runs outputs/DATE/RUN ...")
    print(
        "| run | rest | after a square wave | after a click | largest / limit | forgets in "
        "| 10 minutes: largest / limit | a second later |\n|---|---|---|---|---|---|---|---|"
    )
    for folder in map(Path, options.runs):
        loop, rate = read_model(folder)
        songs = [peak_normalize(decode(path, rate)[0]) for path in list_audio_files(str(ROOT / "examples"))]
        music = torch.cat(songs)
        music = music.repeat(-(-MINUTES * 60 * rate // music.numel()))[: MINUTES * 60 * rate]
        music = torch.cat((music, torch.zeros(rate)))
        scores = stability(loop, songs[0][: 2 * rate], rate)
        forgets = "never" if scores.forgets_ms is None else f"{scores.forgets_ms:.1f} ms"
        wet = render(loop, music)
        if not torch.isfinite(wet).all():
            raise SystemExit(f"{folder}: ten minutes of music gave samples that are not finite")
        print(
            f"| {folder.name} | {scores.rest:.0e} | {scores.after_square:.0e} | {scores.after_click:.0e} "
            f"| {scores.largest:.2f} | {forgets} | {float(wet.abs().max() / loop.limit):.2f} "
            f"| {float(wet[-rate // 10 :].abs().max()):.0e} |"
        )
