"""The activations a plan may name: elementwise functions, and those over the units (dimension 1) of a class or a code.

The compiled loops have their own (`engine/kernels.py`), and all loops of training slopes as functions of the *output*,
so that they store one number a unit instead of two. Mu-law companding is here too, since to a plan it is one more
elementwise function.
Source of its formula: ITU-T G.711, continuous form, as in `torchaudio.functional.mu_law_encoding` before rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from fxemu.engine.plan import Activation

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
    "decay": lambda x, _: x.clamp_max(0).exp(),
    "inverse": lambda x, floor: x.detach() / (x.detach().square() + floor),
    "clamp": lambda x, limit: x.clamp(-limit, limit),
    "softmax": lambda x, others: _chosen(torch.softmax(x[:, : x.shape[1] - int(others)], 1), x, int(others)),
    "argmax": lambda x, others: _chosen(_most(x[:, : x.shape[1] - int(others)]), x, int(others)),
    "bits": lambda x, slope: _bits(x, slope),
    "step": lambda x, _: (x.detach() >= 0).to(x.dtype),
    "modulo": lambda x, modulus: x.detach().remainder(modulus),
}


def look_up(table: Tensor, place: Tensor, nearest: bool) -> Tensor:
    """Rows of `table` (C, U) at `place` (B, 1, T) in [-1, 1]: (B, U, T). See `plan.Lookup`."""
    low, share = row_below(place[:, 0], table.shape[0])
    share = share[..., None]
    if nearest:
        between = F.embedding(low + (share[..., 0] > 0.5), table)
        if place.requires_grad:
            # The nearest row's value, with the gradient to the place of the interpolation.
            between = between + (share - share.detach()) * (table[low + 1] - table[low]).detach()
    else:
        between = table[low] + share * (table[low + 1] - table[low])
    return between.transpose(1, 2)


def row_below(place: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """Which of the rows of a table lies below each place in [-1, 1], and how far on to the next it points, 0 to 1."""
    position = (place.clamp(-1, 1) + 1) * ((rows - 1) / 2)
    low = position.detach().floor().clamp(0, rows - 2).long()
    return low, position - low


def _most(x: Tensor) -> Tensor:
    """1 for the unit with the largest x (B, U, T), the first of them if there are several, and 0 for the rest."""
    return F.one_hot(x.argmax(1), x.shape[1]).transpose(1, 2).to(x.dtype)


def _chosen(classes: Tensor, x: Tensor, others: int) -> Tensor:
    """The classes' units, and tanh of the last `others` units."""
    return torch.cat((classes, torch.tanh(x[:, x.shape[1] - others :])), dim=1) if others else classes


def _bits(x: Tensor, slope: float) -> Tensor:
    """1 where the whole number below x is odd, else -1; unit u counts as a line of slope `slope` 4^-u backwards."""
    hard = 2 * torch.remainder(x.detach().floor(), 2) - 1
    if not x.requires_grad:
        return hard
    slopes = slope * 4.0 ** -torch.arange(x.shape[1], device=x.device, dtype=x.dtype)
    return hard + slopes[:, None] * (x - x.detach())


HIDDEN = ("tanh", "relu", "sigmoid", "softsign")


def hidden_activation(kind: str) -> Activation:
    """The activation of a hidden layer by name; ValueError lists what there is."""
    if kind not in HIDDEN:
        raise ValueError(f"activation: got {kind!r}; choose one of {', '.join(HIDDEN)}")
    return Activation(kind)


def activate(x: Tensor, activation: Activation) -> Tensor:
    return FUNCTIONS[activation.kind](x, activation.parameter)
