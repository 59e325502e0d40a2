"""A plan sample by sample in PyTorch, with explicit state and gradient: the reference for the compiled loops.

Shapes: B batch, W width of a value, P samples of its past, T samples.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fxemu.engine.feedforward import compute, evaluate
from fxemu.engine.plan import DRY, WET, Knobs, Plan, State
from fxemu.engine.playable import Playable
from fxemu.engine.simplify import on_cpu
from fxemu.engine.steady_state import steady_state


class Stepper:
    """One sample of a plan: (inputs, state) to (values, next state).

    Inputs are DRY, the knobs of a plan that has some, and WET unless it is a state. A state is the past (B, W, P) of
    each of the `remembered` values, oldest sample first.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan, self.past = plan, plan.histories()
        self.remembered = [value for value, rows in self.past.items() if rows and value not in plan.sources]

    def silent(self, like: Tensor) -> list[Tensor]:
        """The state after inputs of zero (shape (B, W), device of `like`); what depends on a state is zero."""
        quiet = like.new_zeros(*like.shape, 1 + sum(self.past.values()))
        inputs = {value: quiet for value in (DRY, WET) if value not in self.plan.sources}
        if (knobs := self.plan.knobs) is not None:
            inputs[knobs] = quiet[:, :1].expand(-1, self.plan.width(knobs), -1)
        known = self.plan.feedforward(inputs) & set(self.remembered)
        values = evaluate(self.plan, inputs, known)
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
        for value, step in self.plan.values():
            if not isinstance(step, State | Knobs):
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

    A model with knobs takes their positions (K,) after dry. `start` holds the states in which silence has left them,
    with the knobs at `positions` (K,).
    """

    def __init__(self, loop: Playable, positions: Tensor | None = None) -> None:
        super().__init__()
        plan = on_cpu(loop.plan())
        self.stepper, quiet = Stepper(plan), steady_state(loop, plan, positions)
        self.start = [quiet[v][:, None].repeat(1, self.stepper.past[v]) for v in self.stepper.remembered]

    def forward(self, dry: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        inputs = {DRY: dry[None]}
        if (knobs := self.stepper.plan.knobs) is not None:
            (inputs[knobs], *state) = state[0][None], *state[1:]
        values, following = self.stepper(inputs, [row[None] for row in state])
        return values[self.stepper.plan.last][0], *(row[0] for row in following)
