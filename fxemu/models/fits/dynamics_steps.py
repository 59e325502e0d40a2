"""The steps by which a chain of followers is fitted to the gain of songs: Gauss-Newton, damped, on free runs.

The chain is that of `dynamics_chain.py`, its parameters P in one vector, theta; what F features move of it follows
there (`conditioned_dynamics.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fxemu.models.fits import conditioned_dynamics
from fxemu.models.fits.dynamics_chain import KEY, KEY_RATES, LOOP, RATES, SLOW, SLOW_RATES, run

NO_FEATURES = np.zeros(0)
# Of the diagonal of the normal equations that is added to it (Marquardt 1963).
DAMPING, MOST_DAMPING = 0.1, 1e8
# Slopes of what depends on its past by more than itself grow without end.
RUNS_AWAY = 1e30
# An error that fell by less than this share over so many iterations will hardly fall any more.
SETTLED, SETTLED_ITERATIONS = 5e-3, 6
# Between a time constant of a tenth of a sample and one of millions; what begins at once (1, in float64) stays so.
MOST_LOGIT, AT_ONCE = 14.0, 40.0


@dataclass(frozen=True)
class Gain:
    """Targets of a song, (samples,) each: dry, the gain from dry to wet, the weight of an error in it.

    With knobs also the features of where they stand in it, (F,).
    """

    dry: NDArray
    gain: NDArray
    weight: NDArray
    features: NDArray = field(default_factory=lambda: NO_FEATURES)

    def start(self, samples: int) -> Gain:
        return Gain(self.dry[:samples], self.gain[:samples], self.weight[:samples], self.features)


def refine(theta: NDArray, songs: Sequence[Gain], iterations: int) -> tuple[float, NDArray]:
    """Levenberg-Marquardt from `theta` on, until it settles: the least weighted squared error, and its numbers."""
    damping, (error, normal, slope) = DAMPING, _normal_equations(theta, songs)
    errors = [error]
    for _ in range(iterations):
        if not 0 < error < np.inf or damping > MOST_DAMPING or _has_settled(errors):
            break
        moved = _moved(theta, normal, slope, damping)
        trial = _normal_equations(moved, songs)
        if trial[0] < error:
            theta, (error, normal, slope), damping = moved, trial, damping / 3
        else:
            damping *= 6
        errors.append(error)
    return error, theta


def _moved(theta: NDArray, normal: NDArray, slope: NDArray, damping: float) -> NDArray:
    """Theta after a damped step within its range: above 0 a loop asks for ever more of its own reduction.

    A key whose low-passes have no weights is dry, and stays so, as a slow part without a weight stays none.
    """
    diagonal = normal.diagonal()
    damped = normal + np.diag(damping * (diagonal + 1e-9 * diagonal.max()))
    step, free = np.zeros(theta.size), np.ones(theta.size, bool)
    if not theta[KEY].any():
        free[KEY_RATES] = free[KEY] = False
    if not theta[SLOW]:
        free[SLOW_RATES] = free[SLOW] = False
    step[free] = _solved(damped, slope, free)
    if step[LOOP] < theta[LOOP]:
        free[LOOP], step[LOOP] = False, theta[LOOP]
        step[free] = _solved(damped, slope - damped[:, LOOP] * step[LOOP], free)
    moved = theta - step
    moved[RATES] = np.where(theta[RATES] < AT_ONCE, moved[RATES].clip(-MOST_LOGIT, MOST_LOGIT), AT_ONCE)
    return moved


def _solved(normal: NDArray, slope: NDArray, free: NDArray) -> NDArray:
    """The least squares solution for those that are free."""
    return np.linalg.lstsq(normal[np.ix_(free, free)], slope[free], rcond=None)[0]


def _has_settled(errors: Sequence[float]) -> bool:
    """Whether the last iterations hardly changed the error."""
    return len(errors) > SETTLED_ITERATIONS and errors[-1] > (1 - SETTLED) * errors[-1 - SETTLED_ITERATIONS]


def _normal_equations(numbers: NDArray, songs: Sequence[Gain]) -> tuple[float, NDArray, NDArray]:
    """The squared error e over the songs, J^T J and J^T e for all numbers; an infinite error if these run away."""
    error, normal, slope = conditioned_dynamics.prior(numbers, songs[0].features.size)
    for song in songs:
        theta, jacobian = conditioned_dynamics.moved(numbers, song.features)
        own, down = np.zeros((theta.size, theta.size)), np.zeros(theta.size)
        error += run(song.dry, song.gain, song.weight, theta, own, down)
        if not (np.isfinite(error) and max(np.abs(own).max(), np.abs(down).max()) < RUNS_AWAY):
            return np.inf, normal, slope
        normal += jacobian.T @ (own + np.triu(own, 1).T) @ jacobian
        slope += jacobian.T @ down
    return error, normal, slope
