"""What a checkpoint is selected by: free runs over the validation songs, in silence and after a click."""

from __future__ import annotations

import torch
from torch import Tensor

from fxemu.engine.streaming.stream import render_many
from fxemu.evaluation import metrics
from fxemu.library.pair import Pair
from fxemu.models.closed_loop import ClosedLoop

# Samples after a click, and of silence: half for it to be forgotten, half to see whether it is.
SETTLING = 32_768
SILENCE, CLICK = torch.zeros(SETTLING), torch.eye(1, SETTLING)[0]
# What is passed over there, as power beside that of the songs: an echo that is not quite met.
ECHO = 1e-3


def scores(loop: ClosedLoop, songs: list[Pair], settled: list[Tensor]) -> dict[str, float]:
    """Over the songs; `val/esr` also counts what is heard in silence, or long after a click, beyond the effect's.

    Music may hide for seconds that a net has more than one point of rest, or a wrong one. The worse of the two
    counts, as power beside that of the songs; to forget a click that the effect keeps hold of costs nothing.
    """
    *predictions, rest, clicked = render_many(loop, [*(song.dry for song in songs), SILENCE, CLICK])
    prediction, target = torch.cat(predictions), torch.cat([song.wet for song in songs])
    heard, own = (torch.stack(runs)[:, SETTLING // 2 :].square().mean(-1) for runs in ([rest, clicked], settled))
    beyond = (heard - own).max() / (target.square().mean() + metrics.EPSILON)
    left = float((beyond - ECHO).clamp_min(0))
    return {
        "val/esr": metrics.esr(prediction, target) + left,
        "val/inverted_esr": metrics.inverted_esr(prediction, target) + left,
        "val/nmae": metrics.nmae(prediction, target),
        "val/samples_well": float(min(metrics.samples_well(p, float(loop.limit)) for p in predictions)),
        "val/teacher_forced_esr": teacher_forced_esr(loop, songs),
    }


def teacher_forced_esr(loop: ClosedLoop, songs: list[Pair]) -> float:
    """ESR with the true past at every step: what a free run is not, logged to show the gap."""
    wet = [song.wet for song in songs]
    predictions = render_many(loop, [song.dry for song in songs], fed=wet)
    return metrics.esr(*metrics.over_all(zip(predictions, wet, strict=True)))
