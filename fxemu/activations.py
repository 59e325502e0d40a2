"""The activations a plan may name: elementwise functions, and softmax over the units (dimension 1).

The compiled loops have their own (`engine/kernels.py`), with slopes as functions of the *output*, so that they store
one number a unit instead of two. Mu-law companding is here too, since to a plan it is one more elementwise function.
Source of its formula: ITU-T G.711, continuous form, as in `torchaudio.functional.mu_law_encoding` before rounding.
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
    "clamp": lambda x, limit: x.clamp(-limit, limit),
    "softmax": lambda x, _: torch.softmax(x, dim=1),
}


HIDDEN = ("tanh", "relu", "sigmoid", "softsign")


def hidden_activation(kind: str) -> Activation:
    """The activation of a hidden layer by name; ValueError lists what there is."""
    if kind not in HIDDEN:
        raise ValueError(f"activation: got {kind!r}; choose one of {', '.join(HIDDEN)}")
    return Activation(kind)


def activate(x: Tensor, activation: Activation) -> Tensor:
    return FUNCTIONS[activation.kind](x, activation.parameter)
