"""The compiled loops of training: a plan's sequential steps, sample by sample, forward and backward, on flat arrays.

All signals lie in one `memory` and all weights in another array, and two tables of integers say which step reads and
writes what (`layout.py` makes them). With LANES streams side by side every number is a contiguous row of that many; one
stream alone (a row of one) has its loop in `machine.py`. Weights are laid out (input, unit).
"""

from __future__ import annotations

import math

import numpy as np
from numba import carray, cfunc, njit, types

from fxemu.engine.activations import EXPAND_LIMIT
from fxemu.engine.opcodes import (
    A_STRIDE,
    ARGMAX,
    B_STRIDE,
    BITS,
    CLAMP,
    COMPRESS,
    COUNT,
    DECAY,
    DRIVE,
    DRIVE_STRIDE,
    EXPAND,
    FIRST_ITEM,
    INVERSE,
    KIND,
    LAST_ITEM,
    LAYER,
    MIX,
    MODULO,
    OP,
    OUT,
    OUT_STRIDE,
    RELU,
    SIGMOID,
    SOFTMAX,
    SOFTSIGN,
    STEP,
    TANH,
    UNITS,
    WEIGHT,
    A,
    B,
)

# Streams side by side in training: a few vectors wide, few enough that a step's rows stay in the first-level cache.
LANES = 32
# Addresses are unsigned: a signed one may be negative, which to Python means "from the end", and numba would check.
ONE, TWO, THREE, FOUR = (np.uint64(n) for n in (1, 2, 3, 4))
LANES_1, LANES_2, LANES_3, LANES_4 = (np.uint64(n * LANES) for n in (1, 2, 3, 4))
OPTIONS = {"fastmath": True, "error_model": "numpy"}


@njit(**OPTIONS, inline="always")
def _tanh(x):
    """Lambert's continued fraction for tanh, cut after eleven terms: within 1e-6, and near 0 in proportion."""
    # Clamped to +-7.62 without a branch, so that the loop around this is vectorised.
    x = min(max(x, np.float32(-7.62)), np.float32(7.62))
    s = x * x
    p = np.float32(64324260) + s * (np.float32(675675) + s * (np.float32(2145) + s))
    p = np.float32(13749310575) + s * (np.float32(1964187225) + s * p)
    q = np.float32(413513100) + s * (np.float32(7567560) + s * (np.float32(45045) + s * np.float32(66)))
    q = np.float32(13749310575) + s * (np.float32(6547290750) + s * q)
    return x * p / q


@njit(**OPTIONS, inline="always")
def _exp(x):
    """e^x for x <= 0, as (e^(x/64))^64 by its Taylor series: within 2e-5 of the value; below -80 as at -80."""
    x = max(x, np.float32(-80)) * np.float32(1 / 64)
    e = np.float32(1) + x * (np.float32(1 / 5) + x * (np.float32(1 / 30) + x * np.float32(1 / 210)))
    e = np.float32(1) + x * (np.float32(1) + x * np.float32(0.5) * (
        np.float32(1) + x * np.float32(1 / 3) * (np.float32(1) + x * np.float32(1 / 4) * e)
    ))  # fmt: skip
    e = e * e
    e = e * e
    e = e * e
    e = e * e
    e = e * e
    return e * e


@njit(**OPTIONS)
def _softmax(memory, z, units):
    """Softmax over the units of one stream, in place."""
    peak = memory[z]
    for i in range(z, z + units):
        peak = max(peak, memory[i])
    total = np.float32(0)
    for i in range(z, z + units):
        e = _exp(memory[i] - peak)
        memory[i] = e
        total += e
    for i in range(z, z + units):
        memory[i] /= total


@njit(**OPTIONS)
def _softmax_lanes(memory, z, units):
    """Softmax over the units of each of LANES streams, in place: lane after lane, unit by unit, to be vectorised."""
    peak, total = np.empty(LANES, np.float32), np.zeros(LANES, np.float32)
    for n in range(LANES_1):
        peak[n] = memory[z + n]
    for u in range(units):
        for n in range(LANES_1):
            peak[n] = max(peak[n], memory[z + u * LANES_1 + n])
    for u in range(units):
        for n in range(LANES_1):
            e = _exp(memory[z + u * LANES_1 + n] - peak[n])
            memory[z + u * LANES_1 + n] = e
            total[n] += e
    for u in range(units):
        for n in range(LANES_1):
            memory[z + u * LANES_1 + n] /= total[n]


@njit(**OPTIONS)
def _softmax_back(memory, grads, z, units):
    """The gradient before a softmax over the units of each of LANES streams, in place."""
    total = np.zeros(LANES, np.float32)
    for u in range(units):
        for n in range(LANES_1):
            total[n] += grads[z + u * LANES_1 + n] * memory[z + u * LANES_1 + n]
    for u in range(units):
        for n in range(LANES_1):
            i = z + u * LANES_1 + n
            grads[i] = memory[i] * (grads[i] - total[n])


@njit(**OPTIONS)
def _argmax(memory, z, units, lanes):
    """1 for the unit with the largest number of each stream, the first of them, and 0 for the rest, in place."""
    for lane in range(lanes):
        most = z + lane
        for i in range(z + lane, z + units * lanes, lanes):
            if memory[i] > memory[most]:
                most = i
        for i in range(z + lane, z + units * lanes, lanes):
            memory[i] = np.float32(0)
        memory[most] = np.float32(1)


@njit(**OPTIONS, inline="always")
def _activate(memory, z, units, lanes, kind, p):
    """The activation of a step, in place; `p` is its parameter."""
    if kind == TANH:
        for i in range(z, z + units * lanes):
            memory[i] = _tanh(memory[i])
    elif kind == RELU:
        for i in range(z, z + units * lanes):
            memory[i] = max(memory[i], np.float32(0))
    elif kind == SIGMOID:
        for i in range(z, z + units * lanes):
            memory[i] = np.float32(0.5) + np.float32(0.5) * _tanh(np.float32(0.5) * memory[i])
    elif kind == SOFTSIGN:
        for i in range(z, z + units * lanes):
            memory[i] = memory[i] / (np.float32(1) + abs(memory[i]))
    elif kind == COMPRESS:
        for i in range(z, z + units * lanes):
            x = memory[i]
            memory[i] = math.copysign(math.log1p(p * abs(x)) / math.log1p(p), x)
    elif kind == EXPAND:
        for i in range(z, z + units * lanes):
            x = memory[i]
            memory[i] = math.copysign(math.expm1(min(abs(x), np.float32(EXPAND_LIMIT)) * math.log1p(p)) / p, x)
    elif kind == DECAY:
        for i in range(z, z + units * lanes):
            memory[i] = _exp(min(memory[i], np.float32(0)))
    elif kind == INVERSE:
        for i in range(z, z + units * lanes):
            memory[i] = memory[i] / (memory[i] * memory[i] + p)
    elif kind == CLAMP:
        for i in range(z, z + units * lanes):
            memory[i] = min(max(memory[i], -p), p)
    elif kind in (SOFTMAX, ARGMAX):
        # All units but the last `p`, which are tanh.
        classes = units - np.uint64(p)
        if kind == ARGMAX:
            _argmax(memory, z, classes, lanes)
        elif lanes == ONE:
            _softmax(memory, z, classes)
        else:
            _softmax_lanes(memory, z, classes)
        for i in range(z + classes * lanes, z + units * lanes):
            memory[i] = _tanh(memory[i])
    elif kind == BITS:
        for i in range(z, z + units * lanes):
            half = np.float32(0.5) * np.floor(memory[i])
            memory[i] = np.float32(4) * (half - np.floor(half)) - np.float32(1)
    elif kind == STEP:
        for i in range(z, z + units * lanes):
            memory[i] = np.float32(1) if memory[i] >= np.float32(0) else np.float32(0)
    elif kind == MODULO:
        for i in range(z, z + units * lanes):
            memory[i] -= p * np.floor(memory[i] / p)


@njit(**OPTIONS, inline="always")
def _pull_back(memory, grads, z, units, lanes, kind, p):
    """The gradient of a step's output to that before its activation, in place, from the output."""
    end = z + units * lanes
    if kind == TANH:
        for i in range(z, end):
            grads[i] *= np.float32(1) - memory[i] * memory[i]
    elif kind == RELU:
        for i in range(z, end):
            grads[i] *= np.float32(1) if memory[i] > np.float32(0) else np.float32(0)
    elif kind == SIGMOID:
        for i in range(z, end):
            grads[i] *= memory[i] * (np.float32(1) - memory[i])
    elif kind == SOFTSIGN:
        for i in range(z, end):
            grads[i] *= (np.float32(1) - abs(memory[i])) * (np.float32(1) - abs(memory[i]))
    elif kind == COMPRESS:
        for i in range(z, end):
            grads[i] *= p / math.log1p(p) * math.exp(-abs(memory[i]) * math.log1p(p))
    elif kind == EXPAND:
        # Held at its end (see EXPAND_LIMIT), a little below it to allow for rounding.
        peak = np.float32(0.9999) * math.expm1(np.float32(EXPAND_LIMIT) * math.log1p(p)) / p
        for i in range(z, end):
            y = abs(memory[i])
            grads[i] *= math.log1p(p) * (y + np.float32(1) / p) if y < peak else np.float32(0)
    elif kind == DECAY:
        for i in range(z, end):
            grads[i] *= memory[i] if memory[i] < np.float32(1) else np.float32(0)
    elif kind == CLAMP:
        for i in range(z, end):
            grads[i] *= np.float32(1) if abs(memory[i]) < p else np.float32(0)
    elif kind in (SOFTMAX, ARGMAX):
        classes = units - np.uint64(p)
        if kind == SOFTMAX:
            _softmax_back(memory, grads, z, classes)
        else:
            for i in range(z, z + classes * lanes):
                grads[i] = np.float32(0)
        for i in range(z + classes * lanes, end):
            grads[i] *= np.float32(1) - memory[i] * memory[i]
    elif kind == BITS:
        slope = p
        for u in range(units):
            for i in range(z + u * lanes, z + (u + ONE) * lanes):
                grads[i] *= slope
            slope *= np.float32(0.25)
    elif kind in (STEP, MODULO, INVERSE):
        for i in range(z, end):
            grads[i] = np.float32(0)


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
    """Which row of a table x in [-1, 1] points to: the one below, and how far to the next (or the nearest: 0 or 1)."""
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
def forward(samples, memory, weights, ops, parameters, items):
    """LANES streams: run all steps for each of `samples` samples."""
    for t in range(samples):
        for i in range(ops.shape[0]):
            z, units = ops[i, OUT] + t * ops[i, OUT_STRIDE], ops[i, UNITS]
            first, last = ops[i, FIRST_ITEM], ops[i, LAST_ITEM]
            if ops[i, OP] == LAYER:
                given = ops[i, DRIVE] + t * ops[i, DRIVE_STRIDE]
                if given != z:
                    for u in range(units * LANES_1):
                        memory[z + u] = memory[given + u]
                for j in range(first, last):
                    x, count, w = items[j, A] + t * items[j, A_STRIDE], items[j, COUNT], items[j, WEIGHT]
                    _add_products(memory, z, units, x, count, weights, w, ONE, units)
            elif ops[i, OP] == MIX:
                _mix(memory, z, units, first, last, items, t, weights)
            else:
                x = items[first, A] + t * items[first, A_STRIDE]
                _look_up(memory, z, units, x, items[first, COUNT], items[first, B], weights, items[first, WEIGHT])
            _activate(memory, z, units, LANES_1, ops[i, KIND], parameters[i])


@njit(**OPTIONS, cache=True, nogil=True)
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
            _pull_back(memory, grads, z, units, LANES_1, ops[i, KIND], parameters[i])
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
def activate_row(row, units, kind, p):
    """One stream: the activation of a row, in place."""
    _activate(carray(row, units), np.uint64(0), units, ONE, kind, p)


@cfunc(types.void(ROW, INDEX, ROW, INDEX, INDEX, ROW), cache=True, **OPTIONS)
def look_up_row(z, units, x, rows, nearest, table):
    """One stream: row z = rows of a table at the place in x."""
    low, share = _place(x[0], rows, nearest)
    for u in range(units):
        below = table[low * units + u]
        z[u] = below + share * (table[(low + ONE) * units + u] - below)
