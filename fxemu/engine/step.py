"""A plan sample by sample in PyTorch, with explicit state and gradient: the reference for the compiled loops.

Shapes: B batch, W width of a value, P samples of its past, T samples.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fxemu.engine.control import at_points, input_signals
from fxemu.engine.feedforward import compute, evaluate
from fxemu.engine.plan import DRY, WET, Plan, State
from fxemu.engine.playable import Playable
from fxemu.engine.simplify import on_cpu
from fxemu.engine.steady_state import steady_state


class Stepper:
    """One sample of a plan: (inputs, state) to (values, next state).

    Inputs are DRY, the control values that are read, and WET unless it is a state. A state is the past (B, W, P) of
    each of the `remembered` values, oldest sample first.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan, self.past, control = plan, plan.histories(), plan.control
        self.steps = [(v, step) for v, step in plan.values() if v not in control and not isinstance(step, State)]
        self.remembered = [value for value, rows in self.past.items() if rows and value not in plan.sources]

    def silent(self, like: Tensor) -> list[Tensor]:
        """The state after inputs of zero (shape (B, W), device of `like`); what depends on a state is zero."""
        quiet = like.new_zeros(*like.shape, 1 + sum(self.past.values()))
        knobs = self.plan.knobs
        middle = None if knobs is None else quiet.new_zeros(1, self.plan.width(knobs), 1)
        given = {**input_signals(self.plan, quiet, middle), **({} if WET in self.plan.sources else {WET: quiet})}
        known = self.plan.feedforward(given) & set(self.remembered)
        values = evaluate(self.plan, given, known)
        return [
            values[v][..., -self.past[v] :]
            if v in known
            else like.new_zeros(len(like), self.plan.width(v), self.past[v])
            for v in self.remembered
        ]

    def __call__(self, inputs: dict[int, Tensor], state: list[Tensor]) -> tuple[dict[int, Tensor], list[Tensor]]:
        """Inputs (B, W) and state to all values (B, W) and the next state."""
        pasts = dict(zip(self.remembered, state, strict=True))
        # A state's past ends one sample ago.
        signals = {value: pasts[source] for value, source in self.plan.sources.items() if source in pasts}

        def with_past(value: int, now: Tensor) -> Tensor:
            return torch.cat((pasts[value], now), dim=2) if value in pasts else now

        signals |= {value: with_past(value, x[..., None]) for value, x in inputs.items()}
        for value, step in self.steps:
            signals[value] = with_past(value, compute(step, signals, samples=1))
        following = [signals[value][..., 1:] for value in self.remembered]
        return {value: x[..., -1] for value, x in signals.items()}, following


def step_by_step(plan: Plan, inputs: dict[int, Tensor], value: int) -> Tensor:
    """A value (B, W, T) of a plan, from silence: inputs (B, W, T) as for `Stepper`."""
    stepper, outputs = Stepper(plan), []
    state = stepper.silent(inputs[DRY][..., 0])
    for t in range(inputs[DRY].shape[-1]):
        values, state = stepper({key: x[..., t] for key, x in inputs.items()}, state)
        outputs.append(values[value])
    return torch.stack(outputs, dim=-1)


class PlanStep(nn.Module):
    """One sample of one stream: (dry (1,), state...) to (wet (1,), next state...), each state (W, P).

    A model with knobs takes two things more after dry: positions (K, 2) at the points before and after the sample, and
    where it is between them, 0 to 1. `start` holds the states at rest in silence, with the knobs at `positions` (K,).
    """

    def __init__(self, loop: Playable, positions: Tensor | None = None) -> None:
        super().__init__()
        plan = on_cpu(loop.plan())
        self.stepper, quiet = Stepper(plan), steady_state(loop, plan, positions)
        self.start = [quiet[v][:, None].repeat(1, self.stepper.past[v]) for v in self.stepper.remembered]

    def forward(self, dry: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        given = {DRY: dry[None]}
        if self.stepper.plan.knobs is not None:
            points, share, *state = state
            ends = at_points(self.stepper.plan, points[None])
            given |= {value: x[..., 0] + (x[..., 1] - x[..., 0]) * share for value, x in ends.items()}
        values, following = self.stepper(given, [row[None] for row in state])
        return values[self.stepper.plan.last][0], *(row[0] for row in following)
