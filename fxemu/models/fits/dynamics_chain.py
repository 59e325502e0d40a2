"""The chain of followers of `Dynamics`, run over songs sample by sample, with derivatives for its fit.

Its P = 10 + 2 J parameters are one vector, theta, in this order:

    8      rates up and down of envelope, detector, hold and smoothing, as logits
    1      loop: the share of its own reduction in the input of the curve
    J, J   where the curve has its knees, and by how much it steepens there
    1      makeup: the gain where nothing is reduced
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from fxemu.models.parts.octaves import LEVEL

FOLLOWERS = 4
RATES, LOOP, KNEES = slice(0, 2 * FOLLOWERS), 2 * FOLLOWERS, 2 * FOLLOWERS + 1
# The level of an envelope: log(1 + STEEP envelope^2) / WHOLE.
STEEP = LEVEL.parameter
WHOLE = math.log1p(STEEP)
# Levels and gains lie within +-1, so reductions have no business far beyond.
MOST_REDUCTION = 2.0
# Every so many samples an error is looked at, since gains hardly change in between; a prime, so that no tone shows one
# phase alone.
STRIDE = 19


@njit(cache=True)
def _follow(h, dh, i, x, dx, rates, count):
    """Follower i one sample on towards x, in place, with its derivatives dh (4, P) to the first `count` parameters."""
    side = 2 * i + (0 if x > h[i] else 1)
    rate, change = rates[side], x - h[i]
    h[i] += rate * change
    for p in range(count):
        dh[i, p] += rate * (dx[p] - dh[i, p])
    dh[i, side] += rate * (1 - rate) * change


@njit(cache=True)
def _level(envelope):
    """The level of an envelope, and its slope there."""
    energy = STEEP * envelope * envelope
    return math.log1p(energy) / WHOLE, 2 * STEEP * envelope / ((1 + energy) * WHOLE)


@njit(cache=True)
def _curve(level, theta, dx):
    """The reduction wanted at a level, clamped, and its slope there; derivatives to knees and bends go to dx (P,)."""
    knees = (theta.size - KNEES - 1) // 2
    wanted, steep = 0.0, 0.0
    for j in range(KNEES, KNEES + knees):
        over = max(level - theta[j], 0.0)
        bend = theta[j + knees] if over > 0 else 0.0
        wanted += bend * over
        steep += bend
        dx[j], dx[j + knees] = -bend, over
    if abs(wanted) > MOST_REDUCTION:
        dx[KNEES : KNEES + 2 * knees] = 0.0
        return math.copysign(MOST_REDUCTION, wanted), 0.0
    return wanted, steep


@njit(cache=True, fastmath={"contract", "reassoc"})
def run(amplitude, gain, weight, theta, normal, slope):
    """A free run from silence over a song; adds to J^T J (upper half) and J^T e in place, returns the squared error."""
    size, rates = theta.size, 1 / (1 + np.exp(-theta[RATES]))
    h, dh, dx, error = np.zeros(FOLLOWERS), np.zeros((FOLLOWERS, size)), np.zeros(size), 0.0
    for t in range(amplitude.size):
        dx[:] = 0.0
        _follow(h, dh, 0, amplitude[t], dx, rates, 2)
        level, rise = _level(h[0])
        dx[0], dx[1] = rise * dh[0, 0], rise * dh[0, 1]
        _follow(h, dh, 1, level, dx, rates, 4)
        wanted, steep = _curve(h[1] + theta[LOOP] * h[3], theta, dx)
        for p in range(4):
            dx[p] = steep * dh[1, p]
        for p in range(size):
            dx[p] += steep * theta[LOOP] * dh[3, p]
        dx[LOOP] += steep * h[3]
        _follow(h, dh, 2, wanted, dx, rates, size)
        _follow(h, dh, 3, h[2], dh[2], rates, size)
        if t % STRIDE == 0 and weight[t] > 0:
            off = weight[t] * (theta[size - 1] - h[3] - gain[t])
            error += off * off
            for p in range(size):
                dx[p] = -weight[t] * dh[3, p]
            dx[size - 1] += weight[t]
            for p in range(size):
                slope[p] += dx[p] * off
                for q in range(p, size):
                    normal[p, q] += dx[p] * dx[q]
    return error


@njit(cache=True)
def gain_in_units(amplitude, theta):
    """The gain of a free run from silence over a song, (samples,)."""
    h, dh, dx = np.zeros(FOLLOWERS), np.zeros((FOLLOWERS, theta.size)), np.zeros(theta.size)
    gain, rates = np.zeros(amplitude.size), 1 / (1 + np.exp(-theta[RATES]))
    for t in range(amplitude.size):
        _follow(h, dh, 0, amplitude[t], dx, rates, 0)
        _follow(h, dh, 1, _level(h[0])[0], dx, rates, 0)
        wanted, _ = _curve(h[1] + theta[LOOP] * h[3], theta, dx)
        _follow(h, dh, 2, wanted, dx, rates, 0)
        _follow(h, dh, 3, h[2], dx, rates, 0)
        gain[t] = theta[theta.size - 1] - h[3]
    return gain
