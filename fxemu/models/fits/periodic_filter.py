"""Closed-form fits of a filter that repeats: its rate, and its taps by phase, from dry and wet samples.

Shapes: T samples, N taps (oldest first), P bins of phase, R basis filters, K harmonics.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy.fft import next_fast_len
from torch import Tensor
from torch.nn import functional as F

from fxemu.errors import FitError
from fxemu.models.fits.fir import filtered, ridge_solution
from fxemu.models.fits.movement_rate import SLOWER, Songs, departures, find_movement_rate, fixed_filter

BINS = 256
# Bins while the rate alone is looked for.
COARSE = 64
# Regularisation of the moving filter towards the fixed one, where dry says little, as a share of the mean energy of a
# lag. With 1e-7 a phaser of other makers had ten times the error, ours as much.
RIDGE = 1e-4
# The strongest harmonic of each of several movements: a very slow rate has harmonics near those of all of them.
FEW_SLOWER = 4
# The most that a movement leaves of what those before it, or the best fixed filter, do not explain. On what does not
# move it left 0.89 or more (an overdrive, a fuzz, a gate, a limiter, a compressor), on what does 0.75 at most (two
# phasers, a flanger, a rotary speaker by its lesser rotor, both rotors of another).
LEFT = 0.8
# Phases at which the rows of a table are kept when a whole song is predicted.
FINE = 4096


@dataclass(frozen=True)
class PeriodicTaps:
    """A filter whose taps are the sum over k and r of re(mixing[k, r] e^(i k phase)) basis[r]."""

    basis: Tensor
    """(R, N), oldest tap first; of unit power each where dry is like the training songs."""
    mixing: Tensor
    """(K + 1, R), complex."""


@dataclass(frozen=True)
class Movement:
    """A filter that repeats.

    Args:
        rate: radians a sample.
        taps: by phase, which is 0 at the start of a song.
    """

    rate: float
    taps: PeriodicTaps


def fit_movements(songs: Songs, taps: int, rank: int, harmonics: int, rates: int = 1) -> list[Movement]:
    """Filters that repeat, each at a rate of its own, whose sum is nearest to wet.

    One after the other is fitted to what the others leave (backfitting; Friedman & Stuetzle, "Projection pursuit
    regression", 1981).

    Args:
        songs: (dry, wet), (T,) each, that begin at phase 0.
        taps: N, samples of dry that each filter sees, the present one included.
        rank: R, basis filters of each, at most N.
        harmonics: K, of each one's movement.
        rates: filters, at least 1.

    Raises:
        FitError: if there are fewer rates, as where nothing moves.
    """
    movements: list[Movement] = []
    few, rest = min(harmonics, COARSE // 4), songs
    for _ in range(rates):
        departed = departures(rest, taps)
        unexplained = _energy(rest if movements else departed)
        rate = find_movement_rate(departed, taps, SLOWER if rates == 1 else FEW_SLOWER)
        first = Movement(rate, _factored(rest, rate, taps, rank, few, COARSE))
        left = _energy(without(rest, [first]))
        if left > LEFT * unexplained:
            seen = len(movements)
            raise FitError(f"model.rates: got {rates}; dry and wet show {seen} movements that repeat; try model=auto")
        movements.append(_nearer(rest, first, few, COARSE))
        rest = without(songs, movements)
    for place, movement in enumerate(movements):
        rest = without(songs, movements[:place] + movements[place + 1 :])
        movements[place] = _nearer(rest, movement, harmonics, BINS)
    return movements


def _nearer(songs: Songs, movement: Movement, harmonics: int, bins: int) -> Movement:
    """A movement whose rate is mended, and its taps fitted with that."""
    rank, taps = movement.taps.basis.shape
    rate = movement.rate + drift(songs, movement)
    return Movement(rate, _factored(songs, rate, taps, rank, harmonics, bins))


def without(songs: Songs, movements: list[Movement]) -> Songs:
    """The songs, and instead of wet (T,) what movements leave of it, float64."""
    if not movements:
        return songs
    return [
        (dry, wet - sum(_moved(dry, x.rate, x.taps.basis, x.taps.mixing)[0] for x in movements)) for dry, wet in songs
    ]


def _energy(songs: Songs) -> float:
    """The energy of wet."""
    return sum(float(wet.double().square().sum()) for _, wet in songs)


def _moved(dry: Tensor, rate: float, basis: Tensor, *mixings: Tensor) -> list[Tensor]:
    """dry (T,) through a filter that repeats, for each of several mixings (K + 1, R): (T,) float64 each."""
    order = 1j * torch.arange(mixings[0].shape[0], dtype=torch.float64)
    rotations = torch.exp(order * (2 * math.pi / FINE) * torch.arange(FINE)[:, None])
    tables = [(rotations @ mixing).real for mixing in mixings]
    at = torch.round(torch.arange(dry.numel(), dtype=torch.float64) * (rate * FINE / (2 * math.pi))).long() % FINE
    parts = [filtered(dry, taps.flip(0)) for taps in basis]
    return [sum(table[at, r] * part for r, part in enumerate(parts)) for table in tables]


def _factored(songs: Songs, rate: float, taps: int, rank: int, harmonics: int, bins: int) -> PeriodicTaps:
    """The table of taps by phase as a few basis filters, those that matter most for dry like the songs', mixed."""
    table, covariance = fit_table(songs, rate, taps, bins)
    least = 1e-9 * covariance.diagonal().mean() + 1e-12
    root = torch.linalg.cholesky(covariance + least * torch.eye(taps, dtype=table.dtype))
    u, s, v = torch.linalg.svd(table @ root, full_matrices=False)
    basis = torch.linalg.solve_triangular(root.mT, v[:rank].mT, upper=True).mT
    order = torch.arange(harmonics + 1, dtype=table.dtype)
    # A bin holds the mean over its width, and lies half of it later than it begins.
    mean = torch.sinc(order / bins) * torch.exp(1j * math.pi * order / bins)
    mixing = torch.fft.fft(u[:, :rank] * s[:rank], dim=0)[: harmonics + 1] / bins / mean[:, None]
    mixing[1:] *= 2
    return PeriodicTaps(basis, mixing)


def fit_table(songs: Songs, rate: float, taps: int, bins: int = BINS) -> tuple[Tensor, Tensor]:
    """Least squares taps for each bin of phase: (P, N) float64, and the mean products of the lags of dry (N, N).

    A bin's normal equations are a sum over the runs of samples in which the phase is there. Along their diagonals they
    change by products of the samples at both ends of a run alone, so they cost next to nothing (displacement
    structure; Kailath, Kung & Morf, "Displacement ranks of matrices and linear equations", 1979).
    """
    dry, wet, starts, ends, of_run = _runs(songs, rate, taps, bins)
    table, total = torch.zeros(bins, taps, dtype=dry.dtype), torch.zeros(taps, taps, dtype=dry.dtype)
    fixed, least = fixed_filter(songs, taps).flip(0), RIDGE * dry.square().sum() / bins + 1e-12
    for phase_bin in range(bins):
        inside = of_run == phase_bin
        matrix, right = _normal_equations(dry, wet, starts[inside], ends[inside], taps)
        total += matrix
        table[phase_bin] = fixed + ridge_solution(matrix, right - matrix @ fixed, least)
    return table, total / dry.numel()


def _normal_equations(dry: Tensor, wet: Tensor, starts: Tensor, ends: Tensor, taps: int) -> tuple[Tensor, Tensor]:
    """Products of windows of dry (N, oldest first) with each other and wet, summed over the runs: (N, N), (N,)."""
    if not len(starts):
        # Songs shorter than a period do not reach every bin.
        return dry.new_zeros(taps, taps), dry.new_zeros(taps)
    span = torch.arange(int((ends - starts).max()))
    inside = span < (ends - starts)[:, None]
    now = starts[:, None] + span
    window = torch.arange(-taps, 0)
    reach = torch.arange(1 - taps, len(span))
    size = next_fast_len(len(reach), real=True)
    seen_dry = torch.fft.rfft(dry[starts[:, None] + reach], size)
    last, right = (
        torch.fft.irfft((seen_dry * torch.fft.rfft(x[now] * inside, size).conj()).sum(0), size)[:taps]
        for x in (dry, wet)
    )
    before, after = dry[starts[:, None] + window], dry[ends[:, None] + window]
    change = before.mT @ before - after.mT @ after
    matrix = torch.empty_like(change)
    matrix[-1], matrix[:, -1] = last, last
    for row in range(taps - 1, 0, -1):
        matrix[row - 1, :-1] = matrix[row, 1:] + change[row, 1:]
    return matrix, right


def _runs(songs: Songs, rate: float, taps: int, bins: int = BINS) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The songs in a row, with silence around each, and the runs of samples in one bin: starts, ends, bins."""
    width = 2 * math.pi / (bins * rate)
    around = taps, math.ceil(width) + 1
    dry, wet = (torch.cat([F.pad(song[side].double(), around) for song in songs]) for side in (0, 1))
    starts, ends, of_run, first = [], [], [], 0
    for song, _ in songs:
        count = math.ceil(song.numel() / width)
        edges = torch.ceil(torch.arange(count + 1, dtype=torch.float64) * width).long().clamp(max=song.numel())
        starts.append(first + taps + edges[:-1])
        ends.append(first + taps + edges[1:])
        of_run.append(torch.arange(count) % bins)
        first += song.numel() + sum(around)
    return dry, wet, torch.cat(starts), torch.cat(ends), torch.cat(of_run)


def drift(songs: Songs, movement: Movement) -> float:
    """Correction of the rate, in radians a sample: one Gauss-Newton step on phase and rate."""
    matrix, right = torch.zeros(2, 2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    mixing = movement.taps.mixing
    slopes = 1j * torch.arange(mixing.shape[0], dtype=torch.float64)[:, None] * mixing
    for dry, wet in songs:
        predicted, slope = _moved(dry, movement.rate, movement.taps.basis, mixing, slopes)
        columns = torch.stack((slope, slope * torch.arange(dry.numel(), dtype=torch.float64)))
        matrix, right = matrix + columns @ columns.mT, right + columns @ (wet - predicted)
    return float(torch.linalg.lstsq(matrix, right).solution[1])
