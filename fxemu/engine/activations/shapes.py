"""Other functions of one unit: limits and decays."""

from __future__ import annotations

from typing import Any

import torch
from numba import njit

from fxemu.engine.activations.record import OPTIONS, F, elementwise, no_slope, zero


@njit(**OPTIONS, inline="always")
def numba_exp(x):
    """e^x for x <= 0, as (e^(x/64))^64 by its Taylor series: within 2e-5 of the value; below -80 as at -80."""
    x = max(x, F(-80)) * F(1 / 64)
    e = F(1) + x * (F(1 / 5) + x * (F(1 / 30) + x * F(1 / 210)))
    e = F(1) + x * (F(1) + x * F(0.5) * (F(1) + x * F(1 / 3) * (F(1) + x * F(1 / 4) * e)))
    e = e * e
    e = e * e
    e = e * e
    e = e * e
    e = e * e
    return e * e


def llvm_exp(x: Any) -> Any:
    """The same as instructions."""
    x = x.at_least(-80.0) * (1 / 64)
    e = ((x * (1 / 210) + 1 / 30) * x + 1 / 5) * x + 1.0
    e = (((e * x * (1 / 4) + 1.0) * x * (1 / 3) + 1.0) * x * 0.5 + 1.0) * x + 1.0
    for _ in range(6):
        e = e * e
    return e


RECORDS = {
    "decay": elementwise(
        torch=lambda x, p: x.clamp_max(0).exp(),
        slope=lambda y, p: torch.where(y < 1, y, 0),
        numba=lambda x, p: numba_exp(min(x, F(0))),
        numba_slope=lambda y, p: y if y < F(1) else F(0),
        llvm=lambda x, p: llvm_exp(x.at_most(0.0)),
        c="expf(fminf(x, 0.0f))",
    ),
    "clamp": elementwise(
        torch=lambda x, limit: x.clamp(-limit, limit),
        slope=lambda y, limit: (y.abs() < limit).float(),
        numba=lambda x, limit: min(max(x, -limit), limit),
        numba_slope=lambda y, limit: F(1) if abs(y) < limit else F(0),
        llvm=lambda x, limit: x.at_least(limit * -1.0).at_most(limit),
        c="fminf(fmaxf(x, -p), p)",
    ),
    # 1 / x, regularised; passes no gradient.
    "inverse": elementwise(
        torch=lambda x, floor: x.detach() / (x.detach().square() + floor),
        slope=no_slope,
        numba=lambda x, floor: x / (x * x + floor),
        numba_slope=zero,
        c="x / (x * x + p)",
    ),
}
