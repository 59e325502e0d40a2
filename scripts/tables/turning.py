"""Knobs of the distortion turned from end to end in 50 ms, beside the effect's own turn (--runs, or one is trained)."""

from __future__ import annotations

import argparse
import math
import statistics
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

# When in an excerpt of so many seconds a knob is turned, for how long, and how long it is compared from there on.
EXCERPT_S, STARTS_S, TURN_S, COMPARED_S = 2.0, (0.5, 0.85, 1.2, 1.55), 0.05, 0.2
# Where on the way from end to end it is compared at rest.
RESTS = [i / 8 for i in range(9)]
# A click is short and has what music has not: the power of the fourth difference in a window of so many seconds.
CLICK_S = 0.003


def run(options: argparse.Namespace) -> None:
    """Print a row a run, knob and direction.

    A click is the loudest window of the fourth difference during a turn, in dB over that of the effect's own turn: the
    median over songs and times of the turn, and the worst. A turn passes many settings: beside it is the same at rest,
    at the one of `RESTS` on the way where it is loudest.
    """
    print(
        "| run | turned | ESR | at rest, before and after | ratio | click, dB over the effect's | at rest on the way |"
    )
    print("|---|---|---|---|---|---|---|")
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
    effect, emulation = Turned(lambda settings: Distortion(**settings), loop.knobs), Emulation(loop, rate)
    for knob in loop.knobs:
        for start, end in ((knob.low, knob.high), (knob.high, knob.low)):
            turns = [{knob.name: [(second, start), (second + TURN_S, end)]} for second in STARTS_S]
            turned = [pair for move in turns for pair in _pairs(emulation, effect, songs, move, rate)]
            passed = [knob.value(knob.position(start) + (knob.position(end) - knob.position(start)) * x) for x in RESTS]
            rests = [_pairs(emulation, effect, songs, {knob.name: [(0.0, at)]}, rate) * len(STARTS_S) for at in passed]
            parts = [slice(round(s * rate), round((s + COMPARED_S) * rate)) for s in STARTS_S for _ in songs]
            found = [
                [(wet[part], own[part]) for (wet, own), part in zip(pairs, parts, strict=True)]
                for pairs in (turned, *rests)
            ]
            error, *still = (metrics.esr(*metrics.over_all(pairs)) for pairs in (found[0], found[1], found[-1]))
            clicks, *resting = ([_click_db(wet, rate) - _click_db(own, rate) for wet, own in pairs] for pairs in found)
            print(
                f"| {name} | {knob.name} {start:g} to {end:g} | {error:.1e} | {still[0]:.1e}, {still[1]:.1e} "
                f"| {error / max(still):.2g} | {_spread(clicks)} | {_spread(max(resting, key=statistics.median))} |",
                flush=True,
            )


def _pairs(emulation: Emulation, effect: Turned, songs: list[Tensor], move: dict, rate: int) -> list:
    return [_pair(emulation, effect, dry, move, rate) for dry in songs]


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):+.1f}, worst {max(values):+.1f}"


def _pair(emulation: Emulation, effect: Turned, dry: Tensor, move: dict, rate: int) -> tuple[Tensor, Tensor]:
    """Wet of the model and of the effect, whose knobs stand at each sample where the model's do."""
    turn = Turn(effect.knobs, move, rate)
    points = torch.cat((turn.start[:, None], turn(dry.numel())), dim=1)
    track = between_points(points[None], 0, dry.numel())[0]
    return emulation(dry, rate, **move), effect.moving(track)(dry, rate)


def _click_db(wet: Tensor, rate: int) -> float:
    """The power in dB of the loudest window of the fourth difference."""
    size = round(CLICK_S * rate)
    power = wet.double().diff(n=4).square().unfold(0, size, size // 3).mean(1).max()
    return 10 * math.log10(float(power) + 1e-20)
