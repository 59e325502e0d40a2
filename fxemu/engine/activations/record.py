"""The record of an activation: the same function, and its slope, in every language that runs a plan.

Shapes: B batch, U units, T samples. In numba a row is `units * lanes` numbers of `memory`, the lanes of a unit side by
side; x is the number before the activation, y the one after it, p the activation's parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba import njit
from torch import Tensor

# Streams side by side in training: a few vectors wide, few enough that a step's rows stay in the first-level cache.
LANES = 32
OPTIONS = {"fastmath": True, "error_model": "numpy"}
F = np.float32

ELEMENTWISE_C = """  int i;
  (void)p;
  for (i = 0; i < units * n; i++) {
    const float x = z[i];
    z[i] = %s;
  }
"""


@dataclass(frozen=True, kw_only=True)
class Record:
    """An activation for every engine and every exporter.

    Args:
        torch: (x (B, U, T), p) to y, with gradient.
        slope: (y, p) to dy/dx, y (T, U, B), of that shape or to be broadcast; None where `pull_back` is needed.
        pull_back: (y (U, B), gradient of y, p) to the gradient of x, for units that depend on each other.
        numba: (memory, z, units, lanes, p) activates the row that begins at z, in place.
        numba_back: (memory, grads, z, units, lanes, p) turns the gradient of a row of y into that of x, in place.
        c: body of a C function of (float *z, int units, int n, float p) that activates n rows in place.
        c_unit: the same for one unit, an expression of x and p; None for units that depend on each other.
        c_helpers: the C functions that these call, each after a comment.
        llvm: (x, p) to y for units that do not depend on each other, if it pays to write it out; None to call `numba`.
        onnx: PyTorch's operators that ONNX lacks, each with what to write instead (see `torch.onnx`).
        jumps: whether a small change of x can make a large one of y.
    """

    torch: Callable[[Tensor, float], Tensor]
    slope: Callable[[Tensor, float], Tensor] | None = None
    pull_back: Callable[[Tensor, Tensor, float], Tensor] | None = None
    numba: Callable[..., None]
    numba_back: Callable[..., None]
    c: str
    c_unit: str | None = None
    c_helpers: tuple[str, ...] = ()
    llvm: Callable[[Any, Any], Any] | None = None
    onnx: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    jumps: bool = False


def elementwise(*, numba: Callable[..., Any], numba_slope: Callable[..., Any], c: str, **others: Any) -> Record:
    """The record of a function of each unit alone.

    Args:
        numba: (x, p) to y, of float32; compiled here.
        numba_slope: (y, p) to dy/dx, of float32; compiled here.
        c: an expression of x and p.
        others: as for `Record`.
    """
    value, slope = (njit(**OPTIONS, inline="always")(function) for function in (numba, numba_slope))

    @njit(**OPTIONS)
    def activate(memory, z, units, lanes, p):
        for i in range(z, z + units * lanes):
            memory[i] = value(memory[i], p)

    @njit(**OPTIONS)
    def pull_back(memory, grads, z, units, lanes, p):
        for i in range(z, z + units * lanes):
            grads[i] *= slope(memory[i], p)

    return Record(numba=activate, numba_back=pull_back, c=ELEMENTWISE_C % c, c_unit=c, **others)


def no_slope(y: Tensor, p: float) -> Tensor:
    """The slope of a function that passes no gradient, for PyTorch."""
    return y.new_zeros(1)


def zero(y, p):
    """The slope of a function that passes no gradient, for numba."""
    return F(0)
