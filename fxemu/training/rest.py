"""What a model makes of silence, brought to what the effect makes of it."""

from __future__ import annotations

import torch
from torch import Tensor

from fxemu.engine.streaming.stream import render_many
from fxemu.models.closed_loop import ClosedLoop

# What an effect makes of silence is at rest where it moves by less than this (-120 dBFS).
STILL = 1e-6


@torch.no_grad()
def bring_to_rest(loop: ClosedLoop, rest: Tensor) -> None:
    """Shift a predictor's last bias so that, once it is fed the effect's rest in silence, it stays there.

    A loss over loud and quiet passages together hardly sees an offset of -60 dBFS, in which a quiet one drowns.
    Nothing is done to what has no such bias, with knobs, and for an effect that does not come to rest.

    Args:
        loop: whose predictor it is.
        rest: what the effect makes of silence, (samples,), long enough for the model to come to rest.
    """
    bias, target = loop.predictor.last_bias, float(rest[-1])
    moves = float((rest[-rest.numel() // 2 :] - target).abs().max()) > STILL
    if bias is None or loop.knobs or not loop.output_repr.adds or moves:
        return
    silence = torch.zeros_like(rest)
    predicted = render_many(loop, [silence], fed=[torch.full_like(rest, target)])[0][-1]
    loop.predictor.get_parameter(bias)[-1] += (target - float(predicted)) / float(loop.gain)
