"""Fitting a chain of followers to the gain that recordings show: free runs over whole songs, by Gauss-Newton.

The chain is that of `Dynamics`, its P = 8 + 2 J parameters in one vector, in this order:

    6      rates up and down of detector, hold and smoothing, as logits
    1      loop: the share of its own reduction in the input of the curve
    J, J   where the curve has its knees, and by how much it steepens there
    1      makeup: the gain where nothing is reduced

With knobs some of these move by linear functions of F features, (MOVED, F), which follow in the same vector
(`conditioned_dynamics.py`). Theirs is a prior: few settings do not decide them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from fxemu.engine.activations import activate
from fxemu.errors import FitError
from fxemu.models.fits import conditioned_dynamics
from fxemu.models.fits.fir import filtered, fit_filter
from fxemu.models.parts.octaves import LEVEL

# Levels and gains are in units of 80 dB.
UNIT_DB = 80.0
RATES, LOOP, KNEES = slice(0, 6), 6, 7
# Dry samples below -100 dB show no gain; frames of 10 ms at 44.1 kHz count alike down to -60 dB.
SILENT, FRAME, QUIET = 1e-5, 441, 1e-6
# An error of so much of the energy of wet is worth asking whether a fixed filter has less.
AUDIBLE = 1e-3
# Samples of each song on which starts are compared, of all songs together then, and in the end.
TRIED, MOST_TRIED, MOST = 3 * 44_100, 2_000_000, 10_000_000
NO_FEATURES = np.zeros(0)
# Time constants that starts have, in samples.
RELEASES = (900.0, 4000.0, 20_000.0)
# Times that chain and filter are fitted in turn, steps of the filter's fit in each, and the share of the error that a
# turn must take away for another one to follow.
TURNS, STEPS, WORTH_A_TURN = 2, 15, 0.01
# Every so many samples an error is looked at: gains hardly change in between.
STRIDE = 5
# Of the diagonal of the normal equations that is added to it (Marquardt 1963).
DAMPING, MOST_DAMPING = 0.1, 1e8
# An error that fell by less than this share over so many iterations will hardly fall any more.
SETTLED, SETTLED_ITERATIONS = 1e-3, 6
# Between a time constant of a tenth of a sample and one of millions.
MOST_LOGIT = 14.0


@dataclass(frozen=True)
class Gain:
    """Targets of a song, (samples,) each: the level of dry, the gain from dry to wet, the weight of an error in it.

    With knobs also the features of where they stand in it, (F,).
    """

    level: NDArray
    gain: NDArray
    weight: NDArray
    features: NDArray = field(default_factory=lambda: NO_FEATURES)

    def start(self, samples: int) -> Gain:
        return Gain(self.level[:samples], self.gain[:samples], self.weight[:samples], self.features)


@dataclass(frozen=True)
class Fitted:
    """What was fitted: the chain (P,), what moves it (MOVED, F), and the taps of the filter, the newest first."""

    theta: NDArray
    moves: NDArray
    taps: Tensor


def observed_gain(dry: Tensor, wet: Tensor, features: NDArray = NO_FEATURES, amplified: Tensor | None = None) -> Gain:
    """The gain wet / dry of a song, (samples,) each, or wet / amplified, dry behind a filter.

    An error's weight is the energy of wet, over that of the song (its share of the error-to-signal ratio), plus that
    over the energy of its frame (the error of the gain curve).
    """
    x, y = (dry if amplified is None else amplified).double(), wet.double()
    ratio_db = 20 * (y.abs().clamp_min(SILENT / 1000) / x.abs().clamp_min(SILENT)).log10()
    energy = y.square()
    frames = torch.nn.functional.pad(energy, (0, -energy.numel() % FRAME)).view(-1, FRAME).mean(1)
    around = frames.repeat_interleave(FRAME)[: energy.numel()]
    weight = (energy / (energy.mean() + QUIET) + energy / (around + QUIET)).sqrt() * (x.abs() > SILENT)
    level = activate(dry.double().square(), LEVEL)
    return Gain(level.numpy(), (ratio_db / UNIT_DB).numpy(), weight.numpy(), features)


def logit(samples: float) -> float:
    """The logit of the rate of a time constant in samples: 1 - e^(-1/samples) of the distance in a sample."""
    return math.log(-math.expm1(-1 / samples)) + 1 / samples


def start(knees: int, up: float, down: float, smoothing: float, loop: float, makeup: float = 0.0) -> NDArray:
    """Parameters to begin with (P,), time constants in samples: an instant detector, knees from -44 dB to -4 dB."""
    rates = [logit(samples) for samples in (0.2, 0.2, up, down, smoothing, smoothing)]
    return np.array([*rates, loop, *np.linspace(0.45, 0.95, knees), *[0.8 / knees * (1 - 4 * loop)] * knees, makeup])


def fit(
    songs: Sequence[tuple[Tensor, Tensor]],
    knees: int,
    taps: int = 0,
    iterations: int = 40,
    features: NDArray | None = None,
) -> Fitted:
    """The chain, and the filter of the dry that it amplifies, whose output comes nearest to wet.

    Args:
        songs: (dry, wet) of (samples,) each.
        knees: J.
        taps: of the filter, 0 for none; chain and filter are then fitted in turn, as long as that helps, and the best
            turn is kept, which may be the chain alone.
        iterations: of the last refinement.
        features: of the knobs, which move the chain: (songs, F).

    Raises:
        FitError: if over the songs' beginnings a fixed filter comes nearer: their gain does not follow the level.
    """
    features = np.zeros((len(songs), 0)) if features is None else features
    gains = [observed_gain(*song, each) for song, each in zip(songs, features, strict=True)]
    found, filter_taps = _first(gains, knees), torch.eye(1, taps, dtype=torch.float64)[0]
    _check_follows(songs, gains, found, max(taps, 1))
    found = refine(found, _shortened(gains, MOST), iterations)[1]
    if taps:
        found, filter_taps = _with_filter(songs, gains, found, filter_taps, iterations // TURNS)
    parameters = KNEES + 2 * knees + 1
    return Fitted(
        found[:parameters], found[parameters:].reshape(conditioned_dynamics.MOVED, features.shape[1]), filter_taps
    )


def _with_filter(
    songs: Sequence[tuple[Tensor, Tensor]], gains: Sequence[Gain], found: NDArray, taps: Tensor, iterations: int
) -> tuple[NDArray, Tensor]:
    """Chain and filter, fitted in turn from what is `found` on; those of the best turn."""
    error = _squared_error(songs, gains, found, taps)
    for _ in range(TURNS):
        turned = fit_filter(songs, taps.numel(), STEPS, factors=[gain_of(found, song) for song in gains])
        amplified = [
            observed_gain(*song, gain.features, filtered(song[0], turned))
            for song, gain in zip(songs, gains, strict=True)
        ]
        chain = refine(found, _shortened(amplified, MOST), iterations)[1]
        before, after = error, _squared_error(songs, gains, chain, turned)
        if after < error:
            found, taps, error = chain, turned, after
        if after > (1 - WORTH_A_TURN) * before:
            break
    return found, taps


def _squared_error(
    songs: Sequence[tuple[Tensor, Tensor]], gains: Sequence[Gain], theta: NDArray, taps: Tensor
) -> float:
    """The energy of what chain and filter leave of wet, over the songs."""
    return sum(
        float((gain_of(theta, gain) * filtered(dry, taps) - wet.double()).square().sum())
        for (dry, wet), gain in zip(songs, gains, strict=True)
    )


def gain_of(numbers: NDArray, song: Gain) -> Tensor:
    """The gain, as a factor, of a chain at a song: (samples,)."""
    return torch.from_numpy(
        10 ** (UNIT_DB / 20 * _gain_in_units(song.level, conditioned_dynamics.moved(numbers, song.features)[0]))
    )


def _shortened(songs: Sequence[Gain], samples: int) -> list[Gain]:
    """The starts of all songs, so many samples together."""
    return [song.start(samples // len(songs)) for song in songs]


def _check_follows(songs: Sequence[tuple[Tensor, Tensor]], gains: Sequence[Gain], found: NDArray, taps: int) -> None:
    """FitError if over the songs' beginnings a chain and its best filter leave more of wet than the best filter."""
    starts, gains = [(dry[:TRIED], wet[:TRIED]) for dry, wet in songs], [gain.start(TRIED) for gain in gains]
    left = _left(starts, taps, [gain_of(found, gain) for gain in gains])
    least = _left(starts, taps, [torch.ones_like(dry) for dry, _ in starts])
    if left > max(least, AUDIBLE):
        raise FitError(
            "dynamics: dry and wet show no gain that follows the level: such a gain and a filter leave "
            f"{left:.2e} of the energy of wet, a filter alone {least:.2e}; try model=auto"
        )


def _left(songs: Sequence[tuple[Tensor, Tensor]], taps: int, factors: Sequence[Tensor]) -> float:
    """The share of the energy of wet that the best filter leaves, of dry whose output has these factors (samples,)."""
    best = fit_filter(songs, taps, STEPS, factors=factors)
    left = [wet - factor * filtered(dry, best) for (dry, wet), factor in zip(songs, factors, strict=True)]
    energy = sum(float(wet.double().square().sum()) for _, wet in songs)
    return sum(float(each.square().sum()) for each in left) / max(energy, QUIET)


def _first(songs: Sequence[Gain], knees: int) -> NDArray:
    """The numbers of the chain whose gain comes nearest to that of the songs' beginnings, and what moves them.

    Begins with attacks of several kinds (after the hold, at once, in the hold, there inside a loop) and several
    releases, and continues with the best three of these. Knobs move the release themselves.
    """
    observed = np.concatenate([song.gain[song.weight > 0.1] for song in songs])
    makeup = float(np.quantile(observed, 0.99)) if observed.size else 0.0
    attacks = ((0.2, 150.0, 0.0), (0.2, 0.2, 0.0), (150.0, 0.2, 0.0), (150.0, 0.2, -1.0))
    moves = np.zeros(conditioned_dynamics.MOVED * songs[0].features.size)
    candidates = [
        np.concatenate((start(knees, up, down, smoothing, loop, makeup), moves))
        for (up, smoothing, loop), down in itertools.product(attacks, (4000.0,) if moves.size else RELEASES)
    ]
    few = songs[:: math.ceil(len(songs) * TRIED / MOST_TRIED)] if len(songs) * TRIED > MOST_TRIED else songs
    parts = [song.start(TRIED) for song in few]
    for kept in (3, 1):
        scored = sorted((refine(theta, parts, 12) for theta in candidates), key=lambda scored: scored[0])
        candidates = [theta for _, theta in scored[:kept]]
    return candidates[0]


def refine(theta: NDArray, songs: Sequence[Gain], iterations: int) -> tuple[float, NDArray]:
    """Levenberg-Marquardt from `theta` on, until it settles: the least weighted squared error, and its numbers."""
    damping, (error, normal, slope) = DAMPING, _normal_equations(theta, songs)
    errors = [error]
    for _ in range(iterations):
        if not 0 < error < np.inf or damping > MOST_DAMPING or _has_settled(errors):
            break
        diagonal = normal.diagonal()
        damped = normal + np.diag(damping * (diagonal + 1e-9 * diagonal.max()))
        moved = theta - np.linalg.lstsq(damped, slope, rcond=None)[0]
        moved[RATES] = moved[RATES].clip(-MOST_LOGIT, MOST_LOGIT)
        trial = _normal_equations(moved, songs)
        if trial[0] < error:
            theta, (error, normal, slope), damping = moved, trial, damping / 3
        else:
            damping *= 6
        errors.append(error)
    return error, theta


def _has_settled(errors: Sequence[float]) -> bool:
    """Whether the last iterations hardly changed the error."""
    return len(errors) > SETTLED_ITERATIONS and errors[-1] > (1 - SETTLED) * errors[-1 - SETTLED_ITERATIONS]


def _normal_equations(numbers: NDArray, songs: Sequence[Gain]) -> tuple[float, NDArray, NDArray]:
    """The squared error e over the songs, infinite if it is not a number, J^T J and J^T e for all numbers."""
    error, normal, slope = conditioned_dynamics.prior(numbers, songs[0].features.size)
    for song in songs:
        theta, jacobian = conditioned_dynamics.moved(numbers, song.features)
        own, down = np.zeros((theta.size, theta.size)), np.zeros(theta.size)
        error += _run(song.level, song.gain, song.weight, theta, own, down)
        if not (np.isfinite(error) and np.isfinite(own).all() and np.isfinite(down).all()):
            return np.inf, normal, slope
        normal += jacobian.T @ (own + np.triu(own, 1).T) @ jacobian
        slope += jacobian.T @ down
    return error, normal, slope


@njit(cache=True)
def _follow(h, dh, i, x, dx, theta):
    """Follower i one sample on towards x, in place, with its derivatives dh (3, P) given those of x."""
    side = 2 * i + (0 if x > h[i] else 1)
    rate, change = 1 / (1 + np.exp(-theta[side])), x - h[i]
    h[i] += rate * change
    for p in range(dx.size):
        dh[i, p] += rate * (dx[p] - dh[i, p])
    dh[i, side] += rate * (1 - rate) * change


@njit(cache=True)
def _curve(level, theta, dx):
    """The reduction wanted at a level, and its slope there; its derivatives to knees and bends go to dx (P,)."""
    knees = (theta.size - KNEES - 1) // 2
    wanted, steep = 0.0, 0.0
    for j in range(KNEES, KNEES + knees):
        over = max(level - theta[j], 0.0)
        bend = theta[j + knees] if over > 0 else 0.0
        wanted += bend * over
        steep += bend
        dx[j], dx[j + knees] = -bend, over
    return wanted, steep


@njit(cache=True, fastmath={"contract", "reassoc"})
def _run(level, gain, weight, theta, normal, slope):
    """A free run from silence over a song; adds to J^T J (upper half) and J^T e in place, returns the squared error."""
    size = theta.size
    h, dh, dx, error = np.zeros(3), np.zeros((3, size)), np.zeros(size), 0.0
    for t in range(level.size):
        dx[:] = 0.0
        _follow(h, dh, 0, level[t], dx, theta)
        wanted, steep = _curve(h[0] + theta[LOOP] * h[2], theta, dx)
        for p in range(size):
            dx[p] += steep * (dh[0, p] + theta[LOOP] * dh[2, p])
        dx[LOOP] += steep * h[2]
        _follow(h, dh, 1, wanted, dx, theta)
        _follow(h, dh, 2, h[1], dh[1], theta)
        if t % STRIDE == 0 and weight[t] > 0:
            off = weight[t] * (theta[size - 1] - h[2] - gain[t])
            error += off * off
            for p in range(size):
                dx[p] = -weight[t] * dh[2, p]
            dx[size - 1] += weight[t]
            for p in range(size):
                slope[p] += dx[p] * off
                for q in range(p, size):
                    normal[p, q] += dx[p] * dx[q]
    return error


@njit(cache=True)
def _gain_in_units(level, theta):
    """The gain of a free run from silence over a song, (samples,)."""
    h, dh, dx = np.zeros(3), np.zeros((3, theta.size)), np.zeros(theta.size)
    gain = np.zeros(level.size)
    for t in range(level.size):
        _follow(h, dh, 0, level[t], dx, theta)
        wanted, _ = _curve(h[0] + theta[LOOP] * h[2], theta, dx)
        _follow(h, dh, 1, wanted, dx, theta)
        _follow(h, dh, 2, h[1], dx, theta)
        gain[t] = theta[theta.size - 1] - h[2]
    return gain
