"""Sweeps of a knob to listen to: a song that was not trained on, while one knob turns from end to end."""

from __future__ import annotations

import torch
from torch import Tensor

from fxemu.effects import Effect
from fxemu.engine.control import between_points
from fxemu.engine.plan import PERIOD
from fxemu.engine.streaming.stream import Stream
from fxemu.evaluation.measurements.levels import around_peak
from fxemu.library.pair import Pair
from fxemu.models.closed_loop import ClosedLoop
from fxemu.models.knobs import positions

SECONDS = 4


def sweep(loop: ClosedLoop, song: Pair, effect: Effect, knob: int, sample_rate: int) -> dict[str, Tensor]:
    """Sounds (samples,) by their kind: dry and prediction and, of an effect that follows its knobs, target.

    Args:
        loop: with the effect's knobs.
        song: whose loudest seconds are played.
        effect: with knobs; all but one stand at their defaults.
        knob: number of the one that turns, evenly, from its lowest value to its highest.
        sample_rate: in Hz.
    """
    dry = song.dry[around_peak(song.dry, SECONDS * sample_rate)]
    points = positions(effect.knobs, {})[:, None].repeat(1, 1 + -(-dry.numel() // PERIOD))
    points[knob] = torch.linspace(-1, 1, points.shape[1])
    prediction = Stream(loop, knobs=points[:, 0]).process(dry, knobs=points[:, 1:])
    if not effect.follows:
        return {"dry": dry, "prediction": prediction}
    target = effect.moving(between_points(points[None], 0, dry.numel())[0])(dry, sample_rate)
    return {"dry": dry, "target": target, "prediction": prediction}


def sweep_stem(name: str) -> str:
    """The first part of the file names of a sweep, by the knob's name."""
    return f"sweep of {name}"
