"""Activations of hidden layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from numba import njit
from torch.nn import functional

from fxemu.engine.activations.record import OPTIONS, F, elementwise

# tanh(x) = x p(x^2) / q(x^2), of the least largest relative error up to x = 8 (Remez' algorithm): within 6e-7 of tanh
# anywhere, near 0 in proportion, and never beyond 1. From the constant on; the last of q is 1.
TANH_P, TANH_Q = (4066353.49, 525603.15, 11999.9001, 46.471943), (4066354.08, 1881049.72, 96842.4441, 970.512337)
# tanh(x / 2) / 2 = x p(x^2) / q(x^2) up to x = 16: the same numbers times powers of 4.
SIGMOID_P = tuple(c * 4 ** (3 - i) for i, c in enumerate(TANH_P))
SIGMOID_Q = tuple(c * 4 ** (4 - i) for i, c in enumerate(TANH_Q))

RATIO_C = """/* %s: within 2e-6. Only -ffast-math makes vectors of comparisons. */
static inline float near_%s(float x)
{
  float s, p, q;
#ifdef __FAST_MATH__
  x = x < -%sf ? -%sf : x;
  x = x > %sf ? %sf : x;
#else
  x = 0.5f * (fabsf(x + %sf) - fabsf(x - %sf));
#endif
  s = x * x;
  p = %sf + s * (%sf + s * (%sf + s * %sf));
  q = %sf + s * (%sf + s * (%sf + s * (%sf + s)));
  return x * p / q;
}"""
TANH_C = RATIO_C % ("tanh", "tanh", *[8.0] * 6, *TANH_P, *TANH_Q)
SIGMOID_C = RATIO_C % ("A sigmoid less a half", "sigmoid", *[16.0] * 6, *SIGMOID_P, *SIGMOID_Q)


def numba_ratio(limit: float, p: Sequence[float], q: Sequence[float]) -> Callable[[Any], Any]:
    """x p(x^2) / q(x^2), x held at +-limit, compiled."""
    (p0, p1, p2, p3), (q0, q1, q2, q3), most = map(F, p), map(F, q), F(limit)

    @njit(**OPTIONS, inline="always")
    def ratio(x):
        # Without a branch, so that the loop around this is vectorised.
        x = min(max(x, -most), most)
        s = x * x
        return x * (p0 + s * (p1 + s * (p2 + s * p3))) / (q0 + s * (q1 + s * (q2 + s * (q3 + s))))

    return ratio


numba_tanh, _numba_sigmoid = numba_ratio(8.0, TANH_P, TANH_Q), numba_ratio(16.0, SIGMOID_P, SIGMOID_Q)


def llvm_ratio(x: Any, limit: float, p: Sequence[float], q: Sequence[float]) -> Any:
    """The same as instructions."""
    x = x.at_least(-limit).at_most(limit)
    s = x * x
    return x * (((s * p[3] + p[2]) * s + p[1]) * s + p[0]) / ((((s + q[3]) * s + q[2]) * s + q[1]) * s + q[0])


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
        llvm=lambda x, p: llvm_ratio(x, 8.0, TANH_P, TANH_Q),
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
        numba=lambda x, p: F(0.5) + _numba_sigmoid(x),
        numba_slope=lambda y, p: y * (F(1) - y),
        llvm=lambda x, p: llvm_ratio(x, 16.0, SIGMOID_P, SIGMOID_Q) + 0.5,
        c="0.5f + near_sigmoid(x)",
        c_helpers=(SIGMOID_C,),
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
