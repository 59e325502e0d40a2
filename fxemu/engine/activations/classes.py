"""Activations over the units of a code: classes, one of which is chosen, and bits.

The parameter of `softmax` and `argmax` is the number of units at the end that are no classes: their activation is tanh.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.nn import functional

from fxemu.engine.activations.hidden import TANH_C, numba_tanh
from fxemu.engine.activations.record import LANES, OPTIONS, F, Record, elementwise, zero
from fxemu.engine.activations.shapes import numba_exp

SOFTMAX_C = """  const int classes = units - (int)p;
  int i;
  for (; n > 0; n--, z += units) {
    float most = z[0], sum = 0.0f;
    for (i = 1; i < classes; i++) most = fmaxf(most, z[i]);
    for (i = 0; i < classes; i++) sum += z[i] = expf(z[i] - most);
    for (i = 0; i < classes; i++) z[i] /= sum;
    for (; i < units; i++) z[i] = near_tanh(z[i]);
  }
"""
ARGMAX_C = """  const int classes = units - (int)p;
  int i;
  for (; n > 0; n--, z += units) {
    int most = 0;
    for (i = 1; i < classes; i++) if (z[i] > z[most]) most = i;
    for (i = 0; i < classes; i++) z[i] = i == most ? 1.0f : 0.0f;
    for (; i < units; i++) z[i] = near_tanh(z[i]);
  }
"""
BITS_C = "4.0f * (0.5f * floorf(x) - floorf(0.5f * floorf(x))) - 1.0f"


def softmax(x: Tensor, others: float) -> Tensor:
    """Probabilities of the classes (B, U, T), and tanh of the last `others` units."""
    return _with_tanh(torch.softmax(x[:, : x.shape[1] - int(others)], 1), x, int(others))


def argmax(x: Tensor, others: float) -> Tensor:
    """1 for the class with the largest x, the first of them if there are several, and 0 for the rest; as `softmax`."""
    classes = x[:, : x.shape[1] - int(others)]
    most = functional.one_hot(classes.argmax(1), classes.shape[1]).transpose(1, 2).to(x.dtype)
    return _with_tanh(most, x, int(others))


def _with_tanh(classes: Tensor, x: Tensor, others: int) -> Tensor:
    return torch.cat((classes, torch.tanh(x[:, x.shape[1] - others :])), dim=1) if others else classes


def softmax_pull_back(y: Tensor, grad: Tensor, others: float) -> Tensor:
    """The gradient (U, B) before a softmax with output y (U, B)."""
    count = y.shape[0] - int(others)
    classes, own = y[:count], grad[:count]
    return torch.cat((classes * (own - (own * classes).sum(0)), (1 - y[count:].square()) * grad[count:]))


def argmax_slope(y: Tensor, others: float) -> Tensor:
    """None for the classes, and that of tanh for the others."""
    unit = torch.arange(y.shape[1], device=y.device)[:, None]
    return (unit >= y.shape[1] - int(others)) * (1 - y.square())


def bits(x: Tensor, slope: float) -> Tensor:
    """1 where the whole number below x is odd, else -1; straight-through gradient of `slope` 4^-u at unit u."""
    hard = 2 * torch.remainder(x.detach().floor(), 2) - 1
    return hard + bits_slope(x, slope) * (x - x.detach()) if x.requires_grad else hard


def bits_slope(y: Tensor, slope: float) -> Tensor:
    """(U, 1), for y (B, U, T)."""
    return slope * 4.0 ** -torch.arange(y.shape[1], device=y.device, dtype=y.dtype)[:, None]


@njit(**OPTIONS)
def _tanh_rows(memory, start, end):
    for i in range(start, end):
        memory[i] = numba_tanh(memory[i])


@njit(**OPTIONS)
def _tanh_rows_back(memory, grads, start, end):
    for i in range(start, end):
        grads[i] *= F(1) - memory[i] * memory[i]


@njit(**OPTIONS)
def _softmax_one(memory, z, units):
    """Softmax over the units of one stream, in place."""
    peak = memory[z]
    for i in range(z, z + units):
        peak = max(peak, memory[i])
    total = F(0)
    for i in range(z, z + units):
        e = numba_exp(memory[i] - peak)
        memory[i] = e
        total += e
    for i in range(z, z + units):
        memory[i] /= total


@njit(**OPTIONS)
def _softmax_lanes(memory, z, units):
    """Softmax over the units of each of LANES streams, in place: lane after lane, unit by unit, to be vectorised."""
    lanes = np.uint64(LANES)
    peak, total = np.empty(LANES, np.float32), np.zeros(LANES, np.float32)
    for n in range(lanes):
        peak[n] = memory[z + n]
    for u in range(units):
        for n in range(lanes):
            peak[n] = max(peak[n], memory[z + u * lanes + n])
    for u in range(units):
        for n in range(lanes):
            e = numba_exp(memory[z + u * lanes + n] - peak[n])
            memory[z + u * lanes + n] = e
            total[n] += e
    for u in range(units):
        for n in range(lanes):
            memory[z + u * lanes + n] /= total[n]


@njit(**OPTIONS)
def _softmax(memory, z, units, lanes, others):
    classes = units - np.uint64(others)
    if lanes == np.uint64(1):
        _softmax_one(memory, z, classes)
    else:
        _softmax_lanes(memory, z, classes)
    _tanh_rows(memory, z + classes * lanes, z + units * lanes)


@njit(**OPTIONS)
def _softmax_back(memory, grads, z, units, lanes, others):
    classes, total = units - np.uint64(others), np.zeros(LANES, np.float32)
    for u in range(classes):
        for n in range(lanes):
            total[n] += grads[z + u * lanes + n] * memory[z + u * lanes + n]
    for u in range(classes):
        for n in range(lanes):
            i = z + u * lanes + n
            grads[i] = memory[i] * (grads[i] - total[n])
    _tanh_rows_back(memory, grads, z + classes * lanes, z + units * lanes)


@njit(**OPTIONS)
def _argmax(memory, z, units, lanes, others):
    classes = units - np.uint64(others)
    for lane in range(lanes):
        most = z + lane
        for i in range(z + lane, z + classes * lanes, lanes):
            if memory[i] > memory[most]:
                most = i
        for i in range(z + lane, z + classes * lanes, lanes):
            memory[i] = F(0)
        memory[most] = F(1)
    _tanh_rows(memory, z + classes * lanes, z + units * lanes)


@njit(**OPTIONS)
def _argmax_back(memory, grads, z, units, lanes, others):
    classes = units - np.uint64(others)
    for i in range(z, z + classes * lanes):
        grads[i] = F(0)
    _tanh_rows_back(memory, grads, z + classes * lanes, z + units * lanes)


@njit(**OPTIONS)
def _bits_back(memory, grads, z, units, lanes, slope):
    for u in range(units):
        for i in range(z + u * lanes, z + (u + np.uint64(1)) * lanes):
            grads[i] *= slope
        slope *= F(0.25)


def _odd(x, p):
    """1 where the whole number below x is odd, else -1."""
    half = F(0.5) * np.floor(x)
    return F(4) * (half - np.floor(half)) - F(1)


RECORDS = {
    "softmax": Record(
        torch=softmax,
        pull_back=softmax_pull_back,
        numba=_softmax,
        numba_back=_softmax_back,
        c=SOFTMAX_C,
        c_helpers=(TANH_C,),
    ),
    "argmax": Record(
        torch=argmax,
        slope=argmax_slope,
        numba=_argmax,
        numba_back=_argmax_back,
        c=ARGMAX_C,
        c_helpers=(TANH_C,),
        jumps=True,
    ),
    "bits": replace(
        elementwise(torch=bits, slope=bits_slope, numba=_odd, numba_slope=zero, c=BITS_C, jumps=True),
        numba_back=_bits_back,
    ),
}
