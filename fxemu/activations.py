"""The elementwise functions a plan may name, each with its slope as a function of its *output*.

Keeping the slope a function of the output lets the rollout engine store one tensor a layer instead of two.
Mu-law companding is here too, since to a plan it is one more elementwise function. Source of the companding
formula: ITU-T G.711, continuous form, as in `torchaudio.functional.mu_law_encoding` before rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from fxemu.plan import Activation

# No sample needs more than 1; a diverging net must not reach infinity, where its gradient would be NaN.
EXPAND_LIMIT = 2.0


def mulaw_compress(x: Tensor, mu: float) -> Tensor:
    """sign(x) ln(1 + mu |x|) / ln(1 + mu): [-1, 1] to [-1, 1], odd, steepest at 0; continues beyond 1."""
    return x.sign() * torch.log1p(mu * x.abs()) / math.log1p(mu)


def mulaw_expand(y: Tensor, mu: float) -> Tensor:
    """The inverse of `mulaw_compress`: sign(y) ((1 + mu)^|y| - 1) / mu, |y| held at `EXPAND_LIMIT`."""
    return y.sign() * torch.expm1(y.abs().clamp_max(EXPAND_LIMIT) * math.log1p(mu)) / mu


FUNCTIONS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "identity": lambda x, _: x,
    "tanh": lambda x, _: torch.tanh(x),
    "relu": lambda x, _: torch.relu(x),
    "sigmoid": lambda x, _: torch.sigmoid(x),
    "softsign": lambda x, _: torch.nn.functional.softsign(x),
    "mulaw_compress": mulaw_compress,
    "mulaw_expand": mulaw_expand,
}


def _expand_peak(mu: float) -> float:
    """Where `mulaw_expand` stops, a little below to allow for rounding."""
    return 0.9999 * math.expm1(EXPAND_LIMIT * math.log1p(mu)) / mu


# d output / d input, given the output and the parameter.
SLOPES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "identity": lambda y, _: torch.ones_like(y),
    "tanh": lambda y, _: 1 - y * y,
    "relu": lambda y, _: (y > 0).to(y.dtype),
    "sigmoid": lambda y, _: y * (1 - y),
    "softsign": lambda y, _: (1 - y.abs()).square(),
    "mulaw_compress": lambda y, mu: mu / math.log1p(mu) * torch.exp(-y.abs() * math.log1p(mu)),
    "mulaw_expand": lambda y, mu: math.log1p(mu) * (y.abs() + 1 / mu) * (y.abs() < _expand_peak(mu)),
}

HIDDEN = ("tanh", "relu", "sigmoid", "softsign")


def hidden_activation(kind: str) -> Activation:
    """The activation of a hidden layer by name; ValueError lists what there is."""
    if kind not in HIDDEN:
        raise ValueError(f"activation: got {kind!r}; choose one of {', '.join(HIDDEN)}")
    return Activation(kind)


def activate(x: Tensor, activation: Activation) -> Tensor:
    return FUNCTIONS[activation.kind](x, activation.parameter)


def activate_(x: Tensor, activation: Activation) -> Tensor:
    """`activate`, in place: for the engine's own buffers, where autograd does not look."""
    if activation.kind == "identity":
        return x
    if activation.kind == "tanh":
        # 2 sigmoid(2 x) - 1 is the same to 1e-7, and twice as fast on a CPU.
        return x.mul_(2).sigmoid_().mul_(2).sub_(1)
    return x.copy_(activate(x, activation))


def slope(output: Tensor, activation: Activation) -> Tensor:
    return SLOPES[activation.kind](output, activation.parameter)
