"""The compiled loops of training: a plan's sequential steps, sample by sample, forward and backward, on flat arrays.

All signals lie in one `memory` and all weights in another array, and two tables of integers say which step reads and
writes what (`layout.py` makes them). With LANES streams side by side every number is a contiguous row of that many; one
stream alone (a row of one) has its loop in `streaming/loop.py`. Weights are laid out (input, unit).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import carray, cfunc, njit, types

from fxemu.engine.activations import LANES, OPTIONS, RECORDS, VERSION, Record
from fxemu.engine.opcodes import (
    A_STRIDE,
    B_STRIDE,
    COUNT,
    DRIVE,
    DRIVE_STRIDE,
    FIRST_ITEM,
    KIND,
    LAST_ITEM,
    LAYER,
    MIX,
    OP,
    OUT,
    OUT_STRIDE,
    UNITS,
    WEIGHT,
    A,
    B,
)

# Addresses are unsigned: a signed one may be negative, which to Python means "from the end", and numba would check.
ONE, TWO, THREE, FOUR = (np.uint64(n) for n in (1, 2, 3, 4))
LANES_1, LANES_2, LANES_3, LANES_4 = (np.uint64(n * LANES) for n in (1, 2, 3, 4))


def _choice(records: list[Record]) -> tuple[Callable[..., None], Callable[..., None]]:
    """Compiled functions that activate a row, and pull its gradient back, by the number of the kind in `RECORDS`."""
    if not records:
        nothing = njit(**OPTIONS, inline="always")
        return nothing(lambda kind, memory, z, units, lanes, p: None), nothing(
            lambda kind, memory, grads, z, units, lanes, p: None
        )
    number, (*others, record) = len(records) - 1, records
    own, own_back = record.numba, record.numba_back
    other, other_back = _choice(others)

    @njit(**OPTIONS, inline="always")
    def activate(kind, memory, z, units, lanes, p):
        if kind == number:
            own(memory, z, units, lanes, p)
        else:
            other(kind, memory, z, units, lanes, p)

    @njit(**OPTIONS, inline="always")
    def pull_back(kind, memory, grads, z, units, lanes, p):
        if kind == number:
            own_back(memory, grads, z, units, lanes, p)
        else:
            other_back(kind, memory, grads, z, units, lanes, p)

    return activate, pull_back


_activate, _pull_back = _choice(list(RECORDS.values()))


def _versioned(function: Callable[..., None]) -> Callable[..., None]:
    """Add the version of the activations to the name by which numba caches a function: it watches one file alone."""
    function.__qualname__ += f"_{VERSION}"
    return function


@njit(**OPTIONS)
def _add_products(memory, z, outputs, x, inputs, weights, w, output_step, input_step):
    """LANES streams: row z + o += sum over i of row x + i times weights[w + o * output_step + i * input_step].

    Two outputs by four inputs at a time: eight products for six loads and two stores.
    """
    for _ in range(outputs // TWO):
        y, v, i = z + LANES_1, w, x
        for _ in range(inputs // FOUR):
            a, b, c, d = (
                weights[v],
                weights[v + input_step],
                weights[v + TWO * input_step],
                weights[v + THREE * input_step],
            )
            q = v + output_step
            e, f, g, h = (
                weights[q],
                weights[q + input_step],
                weights[q + TWO * input_step],
                weights[q + THREE * input_step],
            )
            for n in range(LANES_1):
                p, r = memory[i + n], memory[i + LANES_1 + n]
                s, t = memory[i + LANES_2 + n], memory[i + LANES_3 + n]
                memory[z + n] += a * p + b * r + c * s + d * t
                memory[y + n] += e * p + f * r + g * s + h * t
            i, v = i + LANES_4, v + FOUR * input_step
        for _ in range(inputs % FOUR):
            a, e = weights[v], weights[v + output_step]
            for n in range(LANES_1):
                p = memory[i + n]
                memory[z + n] += a * p
                memory[y + n] += e * p
            i, v = i + LANES_1, v + input_step
        z, w = z + LANES_2, w + TWO * output_step
    if outputs % TWO:
        i = x
        for _ in range(inputs):
            a = weights[w]
            for n in range(LANES_1):
                memory[z + n] += a * memory[i + n]
            i, w = i + LANES_1, w + input_step


@njit(**OPTIONS, inline="always")
def _mix(memory, z, units, first, last, items, t, weights):
    """LANES streams: row z = the sum of a mix's products."""
    for i in range(z, z + units * LANES_1):
        memory[i] = np.float32(0)
    for j in range(first, last):
        a, b, w = items[j, A] + t * items[j, A_STRIDE], items[j, B] + t * items[j, B_STRIDE], items[j, WEIGHT]
        for u in range(units):
            scale, row = weights[w + u], u * LANES_1
            if items[j, COUNT] == TWO:
                for i in range(row, row + LANES_1):
                    memory[z + i] += scale * memory[a + i] * memory[b + i]
            else:
                for i in range(row, row + LANES_1):
                    memory[z + i] += scale * memory[a + i]


@njit(**OPTIONS, inline="always")
def _place(x, rows, nearest):
    """The row of a table below x in [-1, 1], and how far x is from it to the next, 0 to 1 (for the nearest: 0 or 1)."""
    position = (min(max(x, np.float32(-1)), np.float32(1)) + np.float32(1)) * np.float32(0.5) * np.float32(rows - ONE)
    low = min(np.uint64(position), rows - TWO)
    share = position - np.float32(low)
    if nearest:
        share = np.float32(1) if share > np.float32(0.5) else np.float32(0)
    return low, share


@njit(**OPTIONS, inline="always")
def _look_up(memory, z, units, x, rows, nearest, weights, w):
    """LANES streams: row z = rows of a table at the places in row x."""
    for lane in range(LANES_1):
        low, share = _place(memory[x + lane], rows, nearest)
        row = w + low * units
        for u in range(units):
            below = weights[row + u]
            memory[z + u * LANES_1 + lane] = below + share * (weights[row + units + u] - below)


@njit(**OPTIONS, cache=True, nogil=True)
@_versioned
def forward(samples, memory, weights, ops, parameters, items):
    """LANES streams: run all steps for each of `samples` samples."""
    for t in range(samples):
        for i in range(ops.shape[0]):
            z, units = ops[i, OUT] + t * ops[i, OUT_STRIDE], ops[i, UNITS]
            first, last = ops[i, FIRST_ITEM], ops[i, LAST_ITEM]
            if ops[i, OP] == LAYER:
                start = ops[i, DRIVE] + t * ops[i, DRIVE_STRIDE]
                if start != z:
                    for u in range(units * LANES_1):
                        memory[z + u] = memory[start + u]
                for j in range(first, last):
                    x, count, w = items[j, A] + t * items[j, A_STRIDE], items[j, COUNT], items[j, WEIGHT]
                    _add_products(memory, z, units, x, count, weights, w, ONE, units)
            elif ops[i, OP] == MIX:
                _mix(memory, z, units, first, last, items, t, weights)
            else:
                x = items[first, A] + t * items[first, A_STRIDE]
                _look_up(memory, z, units, x, items[first, COUNT], items[first, B], weights, items[first, WEIGHT])
            _activate(ops[i, KIND], memory, z, units, LANES_1, parameters[i])


@njit(**OPTIONS, cache=True, nogil=True)
@_versioned
def backward(samples, memory, grads, weights, ops, parameters, items):
    """Turn `grads`, those of the outputs, into those before each activation, through all samples, backwards.

    What a step reads gets its share added. LANES streams; every value keeps all its rows.
    """
    for back in range(samples):
        t = samples - ONE - back
        for k in range(ops.shape[0]):
            i = np.uint64(ops.shape[0]) - ONE - k
            z, units = ops[i, OUT] + t * ops[i, OUT_STRIDE], ops[i, UNITS]
            first, last = ops[i, FIRST_ITEM], ops[i, LAST_ITEM]
            _pull_back(ops[i, KIND], memory, grads, z, units, LANES_1, parameters[i])
            for j in range(first, last):
                a, w = items[j, A] + t * items[j, A_STRIDE], items[j, WEIGHT]
                if ops[i, OP] == LAYER:
                    _add_products(grads, a, items[j, COUNT], z, units, weights, w, units, ONE)
                elif ops[i, OP] == MIX:
                    _mix_back(
                        memory, grads, z, units, a, items[j, B] + t * items[j, B_STRIDE], items[j, COUNT], weights, w
                    )
                else:
                    _look_up_back(memory, grads, z, units, a, items[j, COUNT], weights, w)


@njit(**OPTIONS, inline="always")
def _mix_back(memory, grads, z, units, a, b, factors, weights, w):
    for u in range(units):
        scale = weights[w + u]
        row = u * LANES_1
        if factors == TWO:
            for i in range(row, row + LANES_1):
                delta = scale * grads[z + i]
                grads[a + i] += delta * memory[b + i]
                grads[b + i] += delta * memory[a + i]
        else:
            for i in range(row, row + LANES_1):
                grads[a + i] += scale * grads[z + i]


@njit(**OPTIONS, inline="always")
def _look_up_back(memory, grads, z, units, x, rows, weights, w):
    for lane in range(LANES_1):
        inside = abs(memory[x + lane]) <= np.float32(1)
        row = w + _place(memory[x + lane], rows, 0)[0] * units
        slope = np.float32(0)
        for u in range(units):
            slope += grads[z + u * LANES_1 + lane] * (weights[row + units + u] - weights[row + u])
        if inside:
            grads[x + lane] += slope * np.float32(0.5) * np.float32(rows - ONE)


ROW, INDEX = types.CPointer(types.float32), types.uint64


@cfunc(types.void(ROW, INDEX, INDEX, types.float32), cache=True, **OPTIONS)
@_versioned
def activate_row(row, units, kind, p):
    """One stream: the activation of a row, in place."""
    _activate(kind, carray(row, units), np.uint64(0), units, ONE, p)


@cfunc(types.void(ROW, INDEX, ROW, INDEX, INDEX, ROW), cache=True, **OPTIONS)
@_versioned
def look_up_row(z, units, x, rows, nearest, table):
    """One stream: row z = rows of a table at the place in x."""
    low, share = _place(x[0], rows, nearest)
    for u in range(units):
        below = table[low * units + u]
        z[u] = below + share * (table[(low + ONE) * units + u] - below)
