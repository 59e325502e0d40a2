"""Phasors that turn at multiples of one rate, and are kept at length 1: parts of predictors with an oscillator.

Each is given twice: for tensors (B, K), and as steps of a plan.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fxemu.engine.activations import activate
from fxemu.engine.plan import Activation, Plan, Product, Term

# Phasors have length 1; a history that is no modulation at all must not throw them far.
BOUND = Activation("clamp", 2.0)
# Of the way to its true length that a phasor goes in a sample; it keeps rounding from piling up.
HOLD = 1e-3


def turns(rate: Tensor, harmonics: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of 1 .. K times an angle in radians, a scalar: (K,) each, float32."""
    angles = rate.double() * torch.arange(1, harmonics + 1, device=rate.device)
    return angles.cos().float(), angles.sin().float()


def turned(re: Tensor, im: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Phasors turned on by angles (K,), and held within `BOUND`."""
    return activate(re * cos - im * sin, BOUND), activate(im * cos + re * sin, BOUND)


def plan_turned(plan: Plan, re: int, im: int, cos: Tensor, sin: Tensor) -> tuple[int, int]:
    """`turned` for two values of a plan."""
    return (
        plan.mix(Product((re,), cos), Product((im,), -sin), activation=BOUND),
        plan.mix(Product((im,), cos), Product((re,), sin), activation=BOUND),
    )


def held(re: Tensor, im: Tensor, hold: float = HOLD) -> tuple[Tensor, Tensor]:
    """Phasors a little nearer to length 1."""
    longer = 1 + hold - hold * (re.square() + im.square())
    return re * longer, im * longer


def plan_held(plan: Plan, re: int, im: int, hold: float = HOLD) -> tuple[int, int]:
    """`held` for two values of a plan."""
    square = plan.mix(Product((re, re)), Product((im, im)))
    return tuple(plan.mix(Product((x,), 1 + hold), Product((x, square), -hold)) for x in (re, im))


def plan_start(plan: Plan, runs: int, like: Tensor) -> tuple[int, int]:
    """Two values of one unit: 1 always, for the state `runs` to remember, and 1 at the first sample alone.

    Weights are on the device of `like`.
    """
    one = like.new_ones(1)
    always = plan.add(Term(runs, like.new_zeros(1, 1, 1)), bias=one)
    return always, plan.add(Term(runs, -like.new_ones(1, 1, 1)), bias=one)
