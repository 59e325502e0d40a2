"""Knobs of the distortion turned from end to end in 50 ms, beside the effect's own turn (--runs, or one is trained)."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from fxemu.data.module import SongData
from fxemu.effects import Distortion
from fxemu.effects.knobs import Turned
from fxemu.emulation import Emulation
from fxemu.emulation.locate import read_model
from fxemu.emulation.turning import Turn
from fxemu.engine.control import between_points
from fxemu.evaluation import metrics
from fxemu.models.closed_loop import ClosedLoop
from tables.common import run_training
from tables.knobs import BOXES, spans

# Where in an excerpt of so many seconds a knob is turned, for how long, and how long it is compared from there on.
EXCERPT_S, START_S, TURN_S, COMPARED_S = 2.0, 1.0, 0.05, 0.2


def run(options: argparse.Namespace) -> None:
    """Print a row a run, knob and direction."""
    print("| run | turned | ESR | at rest, before and after | ratio | sharpest bend over the effect's |")
    print("|---|---|---|---|---|---|")
    if options.runs:
        for folder in options.runs:
            _rows(Path(folder).name, *read_model(folder))
        return
    with tempfile.TemporaryDirectory() as folder:
        words, ranges = BOXES["distortion"]
        run_training([*words, f"knobs={{{spans(ranges)}}}", f"seed={options.seed}"], options.threads, Path(folder))
        _rows("5 minutes", *read_model(folder))


def _rows(name: str, loop: ClosedLoop, rate: int) -> None:
    data = SongData(Distortion(), context=loop.warm_up, sample_rate=rate)
    data.setup()
    songs = [song.middle(round(EXCERPT_S * rate)).dry for song in data.parts["test"]]
    part = slice(round(START_S * rate), round((START_S + COMPARED_S) * rate))
    effect, emulation = Turned(lambda settings: Distortion(**settings), loop.knobs), Emulation(loop, rate)
    for knob in loop.knobs:
        for start, end in ((knob.low, knob.high), (knob.high, knob.low)):
            moves = [(START_S, start), (START_S + TURN_S, end)], [(0.0, start)], [(0.0, end)]
            pairs = [[_pair(emulation, effect, dry, {knob.name: move}, rate) for dry in songs] for move in moves]
            pairs = [[(wet[part], own[part]) for wet, own in found] for found in pairs]
            turned, *rest = (metrics.esr(*metrics.over_all(found)) for found in pairs)
            bend = max(_bend(wet) / _bend(own) for wet, own in pairs[0])
            print(
                f"| {name} | {knob.name} {start:g} to {end:g} | {turned:.1e} | {rest[0]:.1e}, {rest[1]:.1e} "
                f"| {turned / max(rest):.2g} | {bend:.2f} |",
                flush=True,
            )


def _pair(emulation: Emulation, effect: Turned, dry: Tensor, move: dict, rate: int) -> tuple[Tensor, Tensor]:
    """Wet of the model and of the effect, whose knobs stand at each sample where the model's do."""
    turn = Turn(effect.knobs, move, rate)
    points = torch.cat((turn.start[:, None], turn(dry.numel())), dim=1)
    track = between_points(points[None], 0, dry.numel())[0]
    return emulation(dry, rate, **move), effect.moving(track)(dry, rate)


def _bend(wet: Tensor) -> float:
    """The largest second difference: what a click has."""
    return float(wet.diff(n=2).abs().max())
