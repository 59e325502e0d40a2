"""What a model makes of silence, brought to what the effect makes of it."""

from __future__ import annotations

import torch
from torch import Tensor

from fxemu.engine.streaming.stream import render_many
from fxemu.models.closed_loop import ClosedLoop

# An effect is at rest in silence where it moves by less than this (-100 dBFS): a fuzz still settles by a fifth of it.
STILL = 1e-5


@torch.no_grad()
def bring_to_rest(loop: ClosedLoop, rest: Tensor) -> dict[str, Tensor]:
    """Shift a predictor's last bias so that a free run through silence ends where the effect rests.

    A loss over loud and quiet passages together hardly sees a constant offset of -60 dBFS, and quiet ones drown in it.
    The bias is shifted by what the prediction is off where the effect's rest is fed back; that is kept if the free run
    then ends nearer. Nothing is done with knobs, for an effect that does not come to rest, and to a predictor that has
    no such bias.

    Args:
        loop: whose predictor it is.
        rest: what the effect makes of silence, (samples,), long enough for the model to come to rest.

    Returns:
        the bias as it was, by its name in the loop's state_dict; nothing where none was shifted.
    """
    name = loop.predictor.last_bias
    moves = float((rest[rest.numel() // 2 :] - rest[-1]).abs().max()) > STILL
    if name is None or loop.knobs or not loop.output_repr.adds or moves:
        return {}
    bias = loop.predictor.get_parameter(name)
    before, trained = _distance(loop, rest), bias.detach().clone()
    bias[-1] += _distance(loop, rest, fed=True) / float(loop.gain)
    if abs(_distance(loop, rest)) < abs(before):
        return {f"predictor.{name}": trained}
    bias.copy_(trained)
    return {}


def _distance(loop: ClosedLoop, rest: Tensor, fed: bool = False) -> float:
    """How far the effect's rest is above where a run through silence ends: a free run, or one that is fed that rest."""
    held = [rest[-1].expand_as(rest).contiguous()] if fed else None
    return float(rest[-1] - render_many(loop, [torch.zeros_like(rest)], fed=held)[0][-1])
