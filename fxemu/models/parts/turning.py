"""Knobs joined to a predictor: each of its biases becomes bias + weights * positions of the knobs, and dry has a gain.

The biases are what concatenation to the inputs of its layers and gates amounts to, for any predictor alike. The gain,
exp(weights * positions), is what a drive, an input level or a threshold turns, and what no bias can. Knobs that stand
still are part of the biases and of one number, and cost nothing. Shapes: U units, K knobs.
"""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.func import functional_call

from fxemu.engine.plan import Activation, Layer, Plan, Product, Term
from fxemu.models.base import Predictor

# The standard deviation of the weights at the start of training.
START = 0.1
# The largest gain on dry: 60 dB.
LOUDEST = 1000.0
DECAY = Activation("decay")


class Turning(nn.Module):
    """The weights by which K knobs move the biases of a predictor, (U, K) for each bias.

    Raises:
        ValueError: for a predictor without a bias that its plan reads.
    """

    def __init__(self, predictor: Predictor, knobs: int, with_gain: bool = True) -> None:
        super().__init__()
        biases = {name: x for name, x in predictor.named_parameters() if _is_bias(name, x)}
        if not biases:
            raise ValueError(f"knobs: {type(predictor).__name__} has nothing that a knob could turn; use another model")
        self.count = knobs
        # Of the gain's logarithm.
        self.gain = nn.Parameter(torch.zeros(1, knobs)) if with_gain else None
        self.weights = nn.ParameterDict(
            {_key(name): nn.Parameter(START * torch.randn(x.numel(), knobs)) for name, x in biases.items()}
        )

    def plan(self, predictor: Predictor, plan: Plan, knobs: int | Tensor, dry: int, wet: int) -> int:
        """Append a predictor to a plan, its biases moved by the knobs; returns the number of its params.

        Args:
            predictor: to append.
            plan: to append to.
            knobs: their value in the plan or, if they stand still, their positions in each stream of a batch, (B, K).
            dry, wet: as for `Predictor.plan`.
        """
        first = len(plan.steps)
        turned = [self._steps(predictor, plan, knob, dry, wet) for knob in range(self.count)]
        params = predictor.plan(plan, dry, wet)
        for i, step in enumerate(plan.steps[first:]):
            if isinstance(step, Layer) and step.bias is not None:
                weight = torch.stack([steps[i].bias - step.bias for steps in turned], dim=1)
                if isinstance(knobs, Tensor):
                    turned_step = replace(step, bias=step.bias + knobs @ weight.T)
                else:
                    turned_step = replace(step, terms=(*step.terms, Term(knobs, weight[..., None])))
                plan.steps[first + i] = turned_step
        return params

    def plan_gained(self, plan: Plan, knobs: int | Tensor, dry: int) -> int:
        """Append dry times its gain to a plan; returns the number of its value. `knobs` as for `plan`."""
        if self.gain is None:
            return dry
        quiet = self.gain.new_full((1,), -math.log(LOUDEST))
        if isinstance(knobs, Tensor):
            nothing = Term(dry, self.gain.new_zeros(1, 1, 1))
            gain = plan.add(nothing, bias=quiet + knobs @ self.gain.T, activation=DECAY)
        else:
            gain = plan.add(Term(knobs, self.gain[..., None]), bias=quiet, activation=DECAY)
        return plan.mix(Product((dry, gain), LOUDEST))

    @torch.no_grad()
    def gain_at(self, at: Tensor) -> float:
        """The gain on dry with the knobs at positions (K,)."""
        return 1.0 if self.gain is None else min(LOUDEST, float((self.gain[0] @ at.to(self.gain)).exp()))

    def _steps(self, predictor: Predictor, plan: Plan, knob: int, dry: int, wet: int) -> list[Layer]:
        """The predictor's steps with one knob at 1: a plan's biases are linear in those of the predictor."""
        own = dict(predictor.named_parameters())
        biases = {
            f"predictor.{name}": own[name] + self.weights[_key(name)][:, knob]
            for name in own
            if _key(name) in self.weights
        }
        scratch = Plan(list(plan.steps), dict(plan.sources), channels=plan.channels)
        functional_call(_Planner(predictor), biases, (scratch, dry, wet))
        return scratch.steps[len(plan.steps) :]

    @torch.no_grad()
    def baked(self, predictor: Predictor, at: Tensor) -> Predictor:
        """A copy of the predictor with the knobs at positions (K,): its biases are moved, and nothing else."""
        copied = copy.deepcopy(predictor)
        for name, bias in copied.named_parameters():
            if _key(name) in self.weights:
                bias += self.weights[_key(name)] @ at.to(bias)
        return copied


class _Planner(nn.Module):
    """A predictor whose call appends its plan, for `functional_call`."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.predictor = predictor

    def forward(self, plan: Plan, dry: int, wet: int) -> int:
        return self.predictor.plan(plan, dry, wet)


def _is_bias(name: str, parameter: Tensor) -> bool:
    return parameter.ndim == 1 and name.rsplit(".", 1)[-1].startswith("bias")


def _key(name: str) -> str:
    """A parameter's name without dots, which have a meaning of their own in modules."""
    return name.replace(".", "/")
