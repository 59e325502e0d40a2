"""The steady state of a plan after silence, from which every exported file starts."""

from __future__ import annotations

import torch
from torch import Tensor

from fxemu.engine.feedforward import evaluate
from fxemu.engine.lockstep.lanes import past_values
from fxemu.engine.partition import Partition
from fxemu.engine.plan import DRY, Plan
from fxemu.engine.playable import Playable


@torch.no_grad()
def steady_state(loop: Playable, plan: Plan) -> dict[int, Tensor]:
    """Every value whose past is read, in the silence before the first sample: (width,)."""
    spans = plan.histories()

    silence = torch.zeros(1, 1, loop.warm_up)
    known = past_values(Partition(plan), silence, silence)
    # Long enough for every window, one after another.
    quiet = torch.zeros(1, 1, 1 + sum(spans.values()))
    known |= evaluate(plan, {DRY: quiet}, {value for value in plan.feedforward() if spans[value]})
    return {value: known[value][0, :, -1] for value, span in spans.items() if span and value in known}
