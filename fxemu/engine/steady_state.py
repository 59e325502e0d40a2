"""The steady state of a plan at rest in silence, from which every exported file starts."""

from __future__ import annotations

import torch
from torch import Tensor

from fxemu.engine.control import input_signals
from fxemu.engine.feedforward import evaluate
from fxemu.engine.plan import Plan
from fxemu.engine.playable import Playable
from fxemu.engine.simplify import on_cpu
from fxemu.engine.streaming.stream import Stream


@torch.no_grad()
def steady_state(loop: Playable, plan: Plan, knobs: Tensor | None = None) -> dict[int, Tensor]:
    """Every value whose past is read, at rest in the silence before the first sample: (width,).

    `knobs` are the positions (K,) of those of the model; None for one without.
    """
    spans = plan.histories()
    state = Stream(loop, simplified=False, knobs=knobs).state()
    known = {int(value): past for value, past in state.items() if value.isdigit()}
    # Long enough for every window, one after another.
    quiet = torch.zeros(1, 1, 1 + sum(spans.values()))
    given = input_signals(plan, quiet, None if knobs is None else knobs[None, :, None])
    known |= evaluate(plan, given, {value for value in plan.feedforward() if spans[value]})
    return {value: known[value][0, :, -1] for value, span in spans.items() if span and value in known}


def hidden_rest(loop: Playable) -> list[Tensor]:
    """The hidden states at rest in silence, (width,) each, in the order of the plan of a model without knobs."""
    plan = on_cpu(loop.plan())
    rest = steady_state(loop, plan)
    return [rest[plan.sources[state]] for state in plan.hidden_states()]
