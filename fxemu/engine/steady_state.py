"""The steady state of a plan after silence, from which every exported file starts."""

from __future__ import annotations

import torch
from torch import Tensor

from fxemu.engine.feedforward import evaluate
from fxemu.engine.plan import DRY, Plan
from fxemu.engine.playable import Playable
from fxemu.engine.streaming.stream import Stream


@torch.no_grad()
def steady_state(loop: Playable, plan: Plan) -> dict[int, Tensor]:
    """Every value whose past is read, in the silence before the first sample: (width,)."""
    spans = plan.histories()
    known = {int(value): past for value, past in Stream(loop, simplified=False).state().items() if value != "dry"}
    # Long enough for every window, one after another.
    quiet = torch.zeros(1, 1, 1 + sum(spans.values()))
    known |= evaluate(plan, {DRY: quiet}, {value for value in plan.feedforward() if spans[value]})
    return {value: known[value][0, :, -1] for value, span in spans.items() if span and value in known}
