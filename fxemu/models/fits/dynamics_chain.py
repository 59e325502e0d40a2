"""The chain of followers of `Dynamics`, run over songs sample by sample, with derivatives for its fit.

Its P = 17 + 2 J parameters are one vector, theta, in this order:

    8      rates up and down of envelope, detector, hold and smoothing, as logits
    2      rates of the two low-passes of the key, as logits
    2      rates up and down of the slow part of the reduction, as logits
    1      loop: the share of its own reduction in the input of the curve
    2      weights of the low-passes in the key: key = dry + their weighted sum
    1      weight of the slow part, which is added to the smoothed one
    J, J   where the curve has its knees, and by how much it steepens there
    1      makeup: the gain where nothing is reduced
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from fxemu.models.parts.octaves import LEVEL

# Levels and gains are in units of 80 dB.
UNIT_DB = 80.0
FOLLOWERS, LOWPASSES = 4, 2
FOLLOWING, KEY_RATES, SLOW_RATES, RATES = slice(0, 8), slice(8, 10), slice(10, 12), slice(0, 12)
DETECTOR_DOWN, LOOP, KEY, SLOW, KNEES = 3, 12, slice(13, 15), 15, 16
# Parameters that what the curve sees depends on, and which of these are the key's.
FRONT, KEY_FRONT = np.array([0, 1, 2, 3, 8, 9, 13, 14]), 4
# The level of an envelope: log(1 + STEEP envelope^2) / WHOLE.
STEEP = LEVEL.parameter
WHOLE = math.log1p(STEEP)
# Levels and gains lie within +-1, so reductions have no business far beyond.
MOST_REDUCTION = 2.0
# Every so many samples an error is looked at, since gains hardly change in between; a prime, so that no tone shows one
# phase alone.
STRIDE = 19


@njit(cache=True)
def _follow(h, x, up, down):
    """A follower at h one sample on towards x.

    Returns:
        where it is then, at which rate it went, the slope of that to the rate's logit, and 0 if it rose, 1 if it fell.
    """
    side = 0 if x > h else 1
    rate = up if x > h else down
    return h + rate * (x - h), rate, rate * (1 - rate) * (x - h), side


@njit(cache=True)
def _level(envelope):
    """The level of an envelope, and its slope there."""
    energy = 1 + STEEP * envelope * envelope
    return math.log(energy) / WHOLE, 2 * STEEP * envelope / (energy * WHOLE)


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


@njit(cache=True)
def _key(x, low, dlow, rates, weights):
    """The key for a sample of dry; low-passes (2,) go on in place, as do their derivatives to their rates' logits."""
    key = x
    for i in range(LOWPASSES):
        off, rate = x - low[i], rates[i]
        low[i] += rate * off
        dlow[i] += rate * ((1 - rate) * off - dlow[i])
        key += weights[i] * low[i]
    return key


@njit(cache=True, fastmath={"contract", "reassoc"})
def run(dry, gain, weight, theta, normal, slope):
    """A free run from silence over a song; adds to J^T J (upper half) and J^T e in place, returns the squared error."""
    size, rates, weights, loop = theta.size, 1 / (1 + np.exp(-theta[RATES])), theta[KEY], theta[LOOP]
    low, dlow, denvelope, dlevel = np.zeros(LOWPASSES), np.zeros(LOWPASSES), np.zeros(FRONT.size), np.zeros(FRONT.size)
    dx, dheld, dreduction, dslow = np.zeros(size), np.zeros(size), np.zeros(size), np.zeros(size)
    weight_of_slow = theta[SLOW]
    # Derivatives of all of the reduction; without a slow part those of the smoothed one.
    dwhole = dreduction if weight_of_slow == 0 else np.zeros(size)
    envelope = level = held = reduction = slow = whole = error = 0.0
    for t in range(dry.size):
        key = _key(dry[t], low, dlow, rates[KEY_RATES], weights)
        envelope, rate, own, side = _follow(envelope, abs(key), rates[0], rates[1])
        for p in range(FRONT.size):
            denvelope[p] -= rate * denvelope[p]
        denvelope[side] += own
        for i in range(LOWPASSES):
            towards = math.copysign(rate, key)
            denvelope[KEY_FRONT + i] += towards * weights[i] * dlow[i]
            denvelope[KEY_FRONT + LOWPASSES + i] += towards * low[i]
        now, rise = _level(envelope)
        level, rate, own, side = _follow(level, now, rates[2], rates[3])
        for p in range(FRONT.size):
            dlevel[p] += rate * (rise * denvelope[p] - dlevel[p])
        dlevel[2 + side] += own
        wanted, steep = _curve(level + loop * whole, theta, dx)
        for p in range(FRONT.size):
            dx[FRONT[p]] = steep * dlevel[p]
        dx[LOOP] = steep * whole
        held, rate, own, side = _follow(held, wanted, rates[4], rates[5])
        for p in range(size):
            dheld[p] += rate * (dx[p] + steep * loop * dwhole[p] - dheld[p])
        dheld[4 + side] += own
        reduction, rate, own, side = _follow(reduction, held, rates[6], rates[7])
        for p in range(size):
            dreduction[p] += rate * (dheld[p] - dreduction[p])
        dreduction[6 + side] += own
        whole = reduction
        if weight_of_slow != 0:
            slow, rate, own, side = _follow(slow, held, rates[10], rates[11])
            whole += weight_of_slow * slow
            for p in range(size):
                dslow[p] += rate * (dheld[p] - dslow[p])
            dslow[10 + side] += own
            for p in range(size):
                dwhole[p] = dreduction[p] + weight_of_slow * dslow[p]
            dwhole[SLOW] += slow
        if t % STRIDE == 0 and weight[t] > 0:
            error += _look(weight[t], theta[size - 1] - whole - gain[t], dwhole, normal, slope)
    return error


@njit(cache=True, fastmath={"contract", "reassoc"})
def _look(weight, off, dwhole, normal, slope):
    """Add a weighted error in the gain, by the reduction's derivatives (P,), to J^T J (P, P) and J^T e; its square."""
    size = dwhole.size
    for p in range(size):
        down = -dwhole[p] if p < size - 1 else 1.0 - dwhole[p]
        slope[p] += weight * weight * down * off
        for q in range(p, size):
            other = -dwhole[q] if q < size - 1 else 1.0 - dwhole[q]
            normal[p, q] += weight * weight * down * other
    return weight * weight * off * off


@njit(cache=True)
def gain_in_units(dry, theta):
    """The gain of a free run from silence over a song, (samples,)."""
    gain, rates, weights = np.zeros(dry.size), 1 / (1 + np.exp(-theta[RATES])), theta[KEY]
    low, dlow, dx = np.zeros(LOWPASSES), np.zeros(LOWPASSES), np.zeros(theta.size)
    envelope = level = held = reduction = slow = whole = 0.0
    for t in range(dry.size):
        key = _key(dry[t], low, dlow, rates[KEY_RATES], weights)
        envelope = _follow(envelope, abs(key), rates[0], rates[1])[0]
        level = _follow(level, _level(envelope)[0], rates[2], rates[3])[0]
        wanted, _ = _curve(level + theta[LOOP] * whole, theta, dx)
        held = _follow(held, wanted, rates[4], rates[5])[0]
        reduction = _follow(reduction, held, rates[6], rates[7])[0]
        slow = _follow(slow, held, rates[10], rates[11])[0]
        whole = reduction + theta[SLOW] * slow
        gain[t] = theta[theta.size - 1] - whole
    return gain
