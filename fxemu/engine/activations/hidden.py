"""Activations of hidden layers."""

from __future__ import annotations

from typing import Any

import torch
from numba import njit
from torch.nn import functional

from fxemu.engine.activations.record import OPTIONS, F, elementwise

TANH_C = """/* Lambert's continued fraction for tanh: within 2e-6. */
static inline float near_tanh(float x)
{
  float s, p, q;
  x = 0.5f * (fabsf(x + 7.62f) - fabsf(x - 7.62f));
  s = x * x;
  p = 64324260.0f + s * (675675.0f + s * (2145.0f + s));
  p = 13749310575.0f + s * (1964187225.0f + s * p);
  q = 413513100.0f + s * (7567560.0f + s * (45045.0f + s * 66.0f));
  q = 13749310575.0f + s * (6547290750.0f + s * q);
  return x * p / q;
}"""


@njit(**OPTIONS, inline="always")
def numba_tanh(x):
    """Lambert's continued fraction for tanh, cut after eleven terms: within 1e-6, and near 0 in proportion."""
    # Clamped to +-7.62 without a branch, so that the loop around this is vectorised.
    x = min(max(x, F(-7.62)), F(7.62))
    s = x * x
    p = F(64324260) + s * (F(675675) + s * (F(2145) + s))
    p = F(13749310575) + s * (F(1964187225) + s * p)
    q = F(413513100) + s * (F(7567560) + s * (F(45045) + s * F(66)))
    q = F(13749310575) + s * (F(6547290750) + s * q)
    return x * p / q


def llvm_tanh(x: Any) -> Any:
    """The same as instructions."""
    x = x.at_least(-7.62).at_most(7.62)
    s = x * x
    p = ((s + 2145) * s + 675675) * s + 64324260
    p = (p * s + 1964187225) * s + 13749310575
    q = ((s * 66 + 45045) * s + 7567560) * s + 413513100
    q = (q * s + 6547290750) * s + 13749310575
    return x * p / q


RECORDS = {
    "identity": elementwise(
        torch=lambda x, p: x,
        slope=lambda y, p: y.new_ones(1),
        numba=lambda x, p: x,
        numba_slope=lambda y, p: F(1),
        llvm=lambda x, p: x,
        c="x",
    ),
    "tanh": elementwise(
        torch=lambda x, p: torch.tanh(x),
        slope=lambda y, p: 1 - y.square(),
        numba=lambda x, p: numba_tanh(x),
        numba_slope=lambda y, p: F(1) - y * y,
        llvm=lambda x, p: llvm_tanh(x),
        c="near_tanh(x)",
        c_helpers=(TANH_C,),
    ),
    "relu": elementwise(
        torch=lambda x, p: torch.relu(x),
        slope=lambda y, p: (y > 0).float(),
        numba=lambda x, p: max(x, F(0)),
        numba_slope=lambda y, p: F(1) if y > F(0) else F(0),
        llvm=lambda x, p: x.at_least(0.0),
        c="x > 0.0f ? x : 0.0f",
    ),
    "sigmoid": elementwise(
        torch=lambda x, p: torch.sigmoid(x),
        slope=lambda y, p: y * (1 - y),
        numba=lambda x, p: F(0.5) + F(0.5) * numba_tanh(F(0.5) * x),
        numba_slope=lambda y, p: y * (F(1) - y),
        llvm=lambda x, p: llvm_tanh(x * 0.5) * 0.5 + 0.5,
        c="0.5f + 0.5f * near_tanh(0.5f * x)",
        c_helpers=(TANH_C,),
    ),
    "softsign": elementwise(
        torch=lambda x, p: functional.softsign(x),
        slope=lambda y, p: (1 - y.abs()).square(),
        numba=lambda x, p: x / (F(1) + abs(x)),
        numba_slope=lambda y, p: (F(1) - abs(y)) * (F(1) - abs(y)),
        llvm=lambda x, p: x / (x.at_least(x * -1.0) + 1.0),
        c="x / (1.0f + fabsf(x))",
    ),
}
