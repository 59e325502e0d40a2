"""What knobs move of a chain of dynamics: rates, loop, threshold, steepness and makeup, linearly in features.

The numbers of a fit are those of the chain, theta (P,) (`fits/dynamics.py`), and then the moves (MOVED, F) of F
features. Shapes: J knees.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fxemu.models.fits.dynamics_chain import FOLLOWING, KNEES, LOOP

# Of a chain: eight rates and the loop, each by itself; all knees together; the logarithm of all bends; the makeup.
ALONE, MOVED = 9, 12
THRESHOLD, STEEPNESS, MAKEUP = 9, 10, 11
# The largest factor of the bends.
LARGEST = 10.0
# What is expected: standard deviations of a move for a feature of 1, of knees and of bends from where a fit starts; and
# the variance of the error's sum that is beyond the chain.
SCALES = np.array([1.5] * 8 + [0.3, 0.15, 0.5, 0.06])
KNEE, BEND, FIRST_KNEE, LAST_KNEE, ALL_BENDS = 0.15, 1.0, 0.45, 0.95, 0.8
NOISE = 0.03


def moved(numbers: NDArray, features: NDArray) -> tuple[NDArray, NDArray]:
    """Theta (P,) where the features are (F,), and its derivatives to all numbers, (P, P + MOVED F)."""
    size = numbers.size - MOVED * features.size
    theta, moves = numbers[:size].copy(), SCALES[:, None] * numbers[size:].reshape(MOVED, features.size)
    by = moves @ features
    knees = (size - KNEES - 1) // 2
    places = [slice(i, i + 1) for i in (*range(FOLLOWING.stop), LOOP)]
    places += [slice(KNEES, KNEES + knees), slice(KNEES + knees, size - 1), slice(size - 1, size)]
    factor = math.exp(min(by[STEEPNESS], math.log(LARGEST)))
    theta[places[STEEPNESS]] *= factor
    jacobian = np.eye(size, numbers.size)
    jacobian[places[STEEPNESS]] *= factor
    for i, place in enumerate(places):
        if i != STEEPNESS:
            theta[place] += by[i]
        slope = theta[place] if i == STEEPNESS else np.ones_like(theta[place])
        jacobian[place, size + i * features.size : size + (i + 1) * features.size] = SCALES[i] * np.outer(
            slope, features
        )
    return theta, jacobian


def prior(numbers: NDArray, features: int) -> tuple[float, NDArray, NDArray]:
    """The squared error of the numbers themselves, its J^T J and its J^T e; nothing without features."""
    if not features:
        return 0.0, np.zeros((numbers.size, numbers.size)), np.zeros(numbers.size)
    size = numbers.size - MOVED * features
    knees = (size - KNEES - 1) // 2
    off, weight = numbers.copy(), np.full(numbers.size, NOISE)
    chain = off[:size]
    chain[KNEES : KNEES + knees] -= np.linspace(FIRST_KNEE, LAST_KNEE, knees)
    chain[KNEES + knees : -1] -= ALL_BENDS / knees
    weight[:KNEES], weight[size - 1] = 0, 0
    weight[KNEES : KNEES + knees] /= KNEE**2
    weight[KNEES + knees : size - 1] /= BEND**2
    return float(off @ (weight * off)), np.diag(weight), weight * off
