"""Fitting a chain of followers to the gain that recordings show: free runs over whole songs, by Gauss-Newton.

The chain is that of `dynamics_chain.py`, its parameters P in one vector, theta.

With knobs some of them move by linear functions of F features, (MOVED, F), which follow in the same vector
(`conditioned_dynamics.py`). Theirs is a prior: few settings do not decide them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fxemu.errors import FitError
from fxemu.models.fits import conditioned_dynamics
from fxemu.models.fits.dynamics_chain import KEY, KNEES, UNIT_DB, gain_in_units
from fxemu.models.fits.dynamics_starts import KEYS, RELEASES, keyed, slowed, starts, starts_in_band
from fxemu.models.fits.dynamics_steps import NO_FEATURES, Gain, refine
from fxemu.models.fits.fir import filtered, fit_filter

# Dry samples below -100 dB show no gain; frames of 10 ms at 44.1 kHz count alike down to -60 dB.
SILENT, FRAME, QUIET = 1e-5, 441, 1e-6
# The most of the energy of wet that may be left whatever a fixed filter leaves: in the end, and after the tries.
AUDIBLE, PROMISING = 1e-3, 1e-2
# The most that may be left after the tries of what a fixed filter leaves: 0.98 to 1.1 where it is no gain that moves
# (two phasers, a flanger, a rotary speaker, a fuzz, two amplifiers; 0.82 for another phaser), 0.71 at most where it is
# (compressors, gates, expanders, a limiter, a transient shaper).
LEFT = 0.9
# Samples of each song on which starts are compared; of all songs together then, where kinds are compared, in the end.
TRIED, MOST_TRIED, MOST_COMPARED, MOST = 3 * 44_100, 2_000_000, 3_000_000, 10_000_000
# Iterations of each start, how many of a kind go on, and for how many more; the factor over the least error within
# which the best of each kind goes on.
TRIES, KEPT, KEPT_TRIES, CLOSE = 12, 2, 40, 3.0
# The factor by which a key, and a slow part of the reduction, must lower the error to be kept.
WORTH_A_KEY, WORTH_A_SLOW_PART = 0.2, 0.9
# Times that chain and filter are fitted in turn, steps of the filter's fit in each, and the share by which a turn must
# change the error for another one to follow.
TURNS, STEPS, WORTH_A_TURN = 2, 15, 0.01


@dataclass(frozen=True)
class Fitted:
    """What was fitted: the chain (P,), what moves it (MOVED, F), and the taps of the filter, the newest first.

    `highest` is the highest gain, a factor, that it has over the songs.
    """

    theta: NDArray
    moves: NDArray
    taps: Tensor
    highest: float


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
    return Gain(dry.double().numpy(), (ratio_db / UNIT_DB).numpy(), weight.numpy(), features)


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
        FitError: if over the songs' beginnings a fixed filter comes nearer in the end, or about as near after the first
            tries: their gain does not follow the level.
    """
    features = np.zeros((len(songs), 0)) if features is None else features
    gains = [observed_gain(*song, each) for song, each in zip(songs, features, strict=True)]
    step = max(1, math.ceil(len(songs) * TRIED / MOST_TRIED))
    begun = _first(*_beginnings(songs[::step], gains[::step], TRIED), knees, taps)
    some = _beginnings(songs, gains, MOST_COMPARED // len(songs))
    if not features.size:
        begun = [(_with_slow_part(*some, _with_key(*some, *each), each[1]), each[1]) for each in begun]
        begun = _near_best(*some, begun)
    fitted = [_fitted(*some, *each, iterations) for each in begun]
    found, filter_taps = min(fitted, key=lambda each: _squared_error(*some, *each))
    if any(dry.numel() > MOST_COMPARED // len(songs) for dry, _ in songs):
        found, filter_taps = _fitted(songs, gains, found, filter_taps, iterations)
    parameters = KNEES + 2 * knees + 1
    return Fitted(
        found[:parameters],
        found[parameters:].reshape(conditioned_dynamics.MOVED, features.shape[1]),
        filter_taps[:taps],
        max(float(gain_of(found, gain).max()) for gain in gains),
    )


def _fitted(
    songs: Sequence[tuple[Tensor, Tensor]], gains: Sequence[Gain], found: NDArray, taps: Tensor, iterations: int
) -> tuple[NDArray, Tensor]:
    """A chain and its filter, of one tap if there is none, fitted from what is `found` on."""
    found = refine(found, _shortened(_amplified(songs, gains, taps), MOST), iterations)[1]
    return _with_filter(songs, gains, found, taps, iterations // TURNS) if taps.numel() > 1 else (found, taps)


def _with_filter(
    songs: Sequence[tuple[Tensor, Tensor]], gains: Sequence[Gain], found: NDArray, taps: Tensor, iterations: int
) -> tuple[NDArray, Tensor]:
    """Chain and filter, fitted in turn from what is `found` on; those of the best turn."""
    turns = [(_squared_error(songs, gains, found, taps), found, taps)]
    for _ in range(TURNS):
        taps = _filter_before(songs, gains, found, taps.numel())
        found = refine(found, _shortened(_amplified(songs, gains, taps), MOST), iterations)[1]
        turns.append((_squared_error(songs, gains, found, taps), found, taps))
        before, after = (error for error, *_ in turns[-2:])
        if abs(after - before) < WORTH_A_TURN * before:
            break
    return min(turns, key=lambda turn: turn[0])[1:]


def _amplified(songs: Sequence[tuple[Tensor, Tensor]], gains: Sequence[Gain], taps: Tensor) -> list[Gain]:
    """The gains that songs show where dry passes a filter before."""
    return [
        observed_gain(*song, gain.features, filtered(song[0], taps)) for song, gain in zip(songs, gains, strict=True)
    ]


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
        10 ** (UNIT_DB / 20 * gain_in_units(song.dry, conditioned_dynamics.moved(numbers, song.features)[0]))
    )


def _shortened(songs: Sequence[Gain], samples: int) -> list[Gain]:
    """The starts of all songs, so many samples together."""
    return [song.start(samples // len(songs)) for song in songs]


def _check_follows(left: float, fixed: float, most: float) -> None:
    """FitError if chain and filter leave more than `most` of the energy of wet; a filter alone leaves `fixed`."""
    if left > most:
        raise FitError(
            "dynamics: dry and wet show no gain that follows the level: such a gain and a filter leave "
            f"{left:.2e} of the energy of wet, a filter alone {fixed:.2e}; try model=auto"
        )


def _beginnings(
    songs: Sequence[tuple[Tensor, Tensor]], gains: Sequence[Gain], samples: int
) -> tuple[list[tuple[Tensor, Tensor]], list[Gain]]:
    """The first samples of songs, and of their gains."""
    return [(dry[:samples], wet[:samples]) for dry, wet in songs], [gain.start(samples) for gain in gains]


def _first(
    songs: Sequence[tuple[Tensor, Tensor]], gains: Sequence[Gain], knees: int, taps: int
) -> list[tuple[NDArray, Tensor]]:
    """Chains, and what moves them, with the taps of their filters, that come near to wet: one, or one of each kind.

    Begins with followers of the level and of the amplitude, and where these promise little of the amplitude of a band,
    and continues with the best few of each: these hardly turn into those.
    """
    none = torch.eye(1, max(taps, 1), dtype=torch.float64)[0]
    energy = max(sum(float(wet.double().square().sum()) for _, wet in songs), QUIET)
    fixed = _squared_error_of_filter(songs, none.numel()) / energy

    def left(kind: list[NDArray]) -> float:
        return _squared_error(songs, gains, kind[0], _filter_before(songs, gains, kind[0], none.numel())) / energy

    knobs, makeup = gains[0].features.size, _makeup(gains)
    kinds = [_tried(gains, kind) for kind in starts(knees, makeup, (4000.0,) if knobs else RELEASES)]
    if not knobs and (least := min(map(left, kinds))) > PROMISING:
        kinds.append(_tried(gains, starts_in_band(knees, makeup)))
        _check_follows(min(least, left(kinds[-1])), fixed, max(LEFT * fixed, PROMISING))
    best = []
    for kind in kinds:
        settled = [refine(theta, gains, KEPT_TRIES)[1] for theta in kind[:KEPT]]
        chosen = [_with_filter(songs, gains, theta, none, TRIES) if taps else (theta, none) for theta in settled]
        best.append(min(((_squared_error(songs, gains, *each), *each) for each in chosen), key=lambda each: each[0]))
    best.sort(key=lambda each: each[0])
    _check_follows(best[0][0] / energy, fixed, max(fixed, AUDIBLE))
    # Beside the best without a key, which may yet get one.
    unkeyed = min(error for error, theta, _ in best if not theta[KEY].any())
    return [(theta, found) for error, theta, found in best if error <= CLOSE * unkeyed]


def _near_best(
    songs: Sequence[tuple[Tensor, Tensor]], gains: Sequence[Gain], fitted: Sequence[tuple[NDArray, Tensor]]
) -> list[tuple[NDArray, Tensor]]:
    """The chains and filters whose error is not far above the least."""
    errors = [_squared_error(songs, gains, *each) for each in fitted]
    return [each for each, error in zip(fitted, errors, strict=True) if error <= CLOSE * min(errors)]


def _makeup(gains: Sequence[Gain]) -> float:
    """The gain to begin with where nothing is reduced: hardly any is higher."""
    observed = np.concatenate([gain.gain[gain.weight > 0.1] for gain in gains])
    return float(np.quantile(observed, 0.99)) if observed.size else 0.0


def _tried(gains: Sequence[Gain], kind: Sequence[NDArray]) -> list[NDArray]:
    """The starts of a kind, and what moves them, after some iterations: the best first."""
    moves = np.zeros(conditioned_dynamics.MOVED * gains[0].features.size)
    scored = [refine(np.concatenate((theta, moves)), gains, TRIES) for theta in kind]
    return [theta for _, theta in sorted(scored, key=lambda each: each[0])]


def _squared_error_of_filter(songs: Sequence[tuple[Tensor, Tensor]], taps: int) -> float:
    """The energy of what the best fixed filter leaves of wet."""
    fixed = fit_filter(songs, taps, STEPS)
    return sum(float((wet - filtered(dry, fixed)).square().sum()) for dry, wet in songs)


def _filter_before(songs: Sequence[tuple[Tensor, Tensor]], gains: Sequence[Gain], theta: NDArray, taps: int) -> Tensor:
    """The best fixed filter of the dry that a chain amplifies: (taps,)."""
    return fit_filter(songs, taps, STEPS, factors=[gain_of(theta, song) for song in gains])


def _with_key(songs: Sequence[tuple[Tensor, Tensor]], gains: Sequence[Gain], theta: NDArray, taps: Tensor) -> NDArray:
    """The chain with a key of its own, unless it has one, where the level of dry is not what the gain follows.

    It is fitted to the beginnings of the songs, and has to serve the whole of them.
    """
    if theta[KEY].any():
        return theta
    beginnings = _amplified(*_beginnings(songs, gains, TRIED), taps)
    begun = min((refine(keyed(theta, *key), beginnings, TRIES) for key in KEYS), key=lambda each: each[0])[1]
    return _worth(WORTH_A_KEY, songs, gains, theta, refine(begun, beginnings, KEPT_TRIES)[1], taps)


def _with_slow_part(
    songs: Sequence[tuple[Tensor, Tensor]], gains: Sequence[Gain], theta: NDArray, taps: Tensor
) -> NDArray:
    """The chain with a slow part of its reduction, where the gain comes back in two stages; as `_with_key`."""
    beginnings = _amplified(*_beginnings(songs, gains, TRIED), taps)
    return _worth(WORTH_A_SLOW_PART, songs, gains, theta, refine(slowed(theta), beginnings, KEPT_TRIES)[1], taps)


def _worth(
    most: float,
    songs: Sequence[tuple[Tensor, Tensor]],
    gains: Sequence[Gain],
    theta: NDArray,
    richer: NDArray,
    taps: Tensor,
) -> NDArray:
    """A richer chain, where it leaves less than the share `most` of the error; else the one before."""
    before, after = (_squared_error(songs, gains, each, taps) for each in (theta, richer))
    return richer if after < most * before else theta
