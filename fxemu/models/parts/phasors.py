"""Phasors that rotate at multiples of one rate, renormalised to length 1: for predictors with an oscillator.

Steps of a plan: a phasor is two values, its real and imaginary parts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fxemu.engine.plan import Activation, Plan, Product, Term

# Phasors have length 1; a history that is no modulation at all must not throw them far.
LONGEST = Activation("clamp", 2.0)
# Share by which a phasor nears length 1 in a sample, so that rounding does not accumulate.
PULL = 1e-3


def rotations(rate: Tensor, harmonics: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of 1 .. K times an angle in radians, a scalar: (K,) each, float64."""
    angles = rate.double() * torch.arange(1, harmonics + 1, device=rate.device)
    return angles.cos(), angles.sin()


def plan_rotated(plan: Plan, re: int, im: int, cos: Tensor, sin: Tensor) -> tuple[int, int]:
    """Phasors rotated by angles (K,), given their cosines and sines in float64, and clamped to `LONGEST`.

    What float32 cannot hold of them, up to 3e-8, would add up to an angle of its own; it comes first, where the sum is
    still small.
    """
    (cos, cos_rest), (sin, sin_rest) = _split(cos), _split(sin)
    return (
        plan.mix(
            *(Product((re,), cos_rest), Product((im,), -sin_rest), Product((re,), cos), Product((im,), -sin)),
            activation=LONGEST,
        ),
        plan.mix(
            *(Product((im,), cos_rest), Product((re,), sin_rest), Product((im,), cos), Product((re,), sin)),
            activation=LONGEST,
        ),
    )


def _split(x: Tensor) -> tuple[Tensor, Tensor]:
    """x, float64, as the sum of two of float32."""
    return x.float(), (x - x.float()).float()


def plan_renormalised(plan: Plan, re: int, im: int, pull: float = PULL) -> tuple[int, int]:
    """Phasors renormalised: moved by the share `pull` towards length 1, to first order."""
    square = plan.mix(Product((re, re)), Product((im, im)))
    return tuple(plan.mix(Product((x,), 1 + pull), Product((x, square), -pull)) for x in (re, im))


def plan_start(plan: Plan, runs: int, like: Tensor) -> tuple[int, int]:
    """Two values of one unit: 1 always, for the state `runs` to remember, and 1 at the first sample alone.

    Weights are on the device of `like`.
    """
    one = like.new_ones(1)
    always = plan.add(Term(runs, like.new_zeros(1, 1, 1)), bias=one)
    return always, plan.add(Term(runs, -like.new_ones(1, 1, 1)), bias=one)
