"""Closed-form fits of a filter that repeats: its rate, and its taps by phase, from dry and wet samples.

Shapes: T samples, N taps (oldest first), P bins of phase, R basis filters, K harmonics.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from scipy.fft import next_fast_len
from torch import Tensor
from torch.nn import functional as F

from fxemu.errors import FitError
from fxemu.models.fits.fir import FEW_RIDGE, each_filtered, ridge_solution
from fxemu.models.fits.movement_rate import SLOWER, Songs, departures, find_movement_rate
from fxemu.models.fits.stretches import LENGTH, Stretch, spread, whole_songs

BINS = 128
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
# A table is fitted to so many samples a tap of each of its bins, and to so many periods at least: much music for each.
EACH, PERIODS = 40, 128
# Samples by which it is seen how far off a movement is.
CHECKED = 2_000_000
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


@dataclass(frozen=True, eq=False)
class Runs:
    """Stretches in a row, dry and wet (T,), and the runs of samples in which the phase stays in a bin.

    starts, ends (samples), bins: (runs,); where one ends the next of its stretch begins, in the bin that follows.
    """

    dry: Tensor
    wet: Tensor
    starts: Tensor
    ends: Tensor
    bins: Tensor


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
    whole, few = whole_songs(songs, taps), min(harmonics, COARSE // 4)
    for _ in range(rates):
        rest = [(song.dry[taps:], song.wet) for song in without(whole, movements)]
        departed = departures(rest, taps)
        rate = find_movement_rate(departed, taps, SLOWER if rates == 1 else FEW_SLOWER)
        unexplained = _energy(_some(whole_songs(rest if movements else departed, taps)))
        first = Movement(rate, _factored(whole, movements, rate, taps, rank, few, COARSE))
        if _energy(without(_some(whole), [*movements, first])) > LEFT * unexplained:
            found = len(movements)
            raise FitError(f"model.rates: got {rates}; dry and wet show {found} movements that repeat; try model=auto")
        movements.append(_nearer(whole, movements, first, few, COARSE))
    for place, movement in enumerate(movements):
        others = movements[:place] + movements[place + 1 :]
        movements[place] = _nearer(whole, others, movement, harmonics, max(BINS, 4 * harmonics))
    return movements


def _nearer(
    whole: Sequence[Stretch], others: list[Movement], movement: Movement, harmonics: int, bins: int
) -> Movement:
    """A movement whose rate is mended, and its taps fitted with that, to what others leave."""
    rank, taps = movement.taps.basis.shape
    rate = movement.rate + drift(without(_some(whole), others), movement)
    return Movement(rate, _factored(whole, others, rate, taps, rank, harmonics, bins))


def _some(whole: Sequence[Stretch]) -> list[Stretch]:
    """Short stretches of whole songs, enough to see how far off a movement is."""
    return spread(whole, CHECKED)


def without(songs: Sequence[Stretch], movements: list[Movement]) -> list[Stretch]:
    """The stretches, and instead of wet (T,) what movements leave of it, float64."""
    for movement in movements:
        predicted = _moved(songs, movement, movement.taps.mixing)
        songs = [replace(song, wet=song.wet - moved) for song, (moved,) in zip(songs, predicted, strict=True)]
    return [*songs]


def _energy(songs: Sequence[Stretch]) -> float:
    """The energy of wet."""
    return sum(float(song.wet.double().square().sum()) for song in songs)


def _moved(songs: Sequence[Stretch], movement: Movement, *mixings: Tensor) -> Iterator[list[Tensor]]:
    """Each stretch's dry through a filter that repeats, for each of several mixings (K + 1, R): (T,) float64 each."""
    basis, order = movement.taps.basis, 1j * torch.arange(mixings[0].shape[0], dtype=torch.float64)
    rotations = torch.exp(order * (2 * math.pi / FINE) * torch.arange(FINE)[:, None])
    tables = [(rotations @ mixing).real.mT.contiguous() for mixing in mixings]
    for song in songs:
        at = torch.round(_times(song) * (movement.rate * FINE / (2 * math.pi))).long() % FINE
        totals = [torch.zeros_like(song.wet, dtype=torch.float64)] * len(tables)
        # One after another: of a whole song all of them together are gigabytes.
        for r, part in enumerate(each_filtered(song.dry, basis.flip(1))):
            now = part[-song.wet.numel() :]
            totals = [total + table[r][at] * now for total, table in zip(totals, tables, strict=True)]
        yield totals


def _times(song: Stretch) -> Tensor:
    """The places of a stretch's samples in its song: (T,) float64."""
    return song.start + torch.arange(song.wet.numel(), dtype=torch.float64)


def _factored(
    whole: Sequence[Stretch], others: list[Movement], rate: float, taps: int, rank: int, harmonics: int, bins: int
) -> PeriodicTaps:
    """The table of taps by phase as a few basis filters, those that matter most for dry like the songs', mixed.

    Fitted to stretches of whole songs, to what other movements leave of them.
    """
    period = 2 * math.pi / rate
    stretches = spread(whole, round(max(EACH * bins * taps, PERIODS * period)), period)
    table, covariance = fit_table(without(stretches, others), rate, taps, bins)
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


def fit_table(songs: Sequence[Stretch], rate: float, taps: int, bins: int = BINS) -> tuple[Tensor, Tensor]:
    """Least squares taps for each bin of phase: (P, N) float64, and the mean products of the lags of dry (N, N).

    A bin's normal equations are a sum over the runs of samples in which the phase is there. Along their diagonals they
    change by products of the samples at both ends of a run alone, so they cost next to nothing (displacement
    structure; Kailath, Kung & Morf, "Displacement ranks of matrices and linear equations", 1979).
    """
    runs = _runs(songs, rate, taps, bins)
    table, total = torch.zeros(bins, taps, dtype=torch.float64), torch.zeros(taps, taps, dtype=torch.float64)
    fixed, least = _fixed(songs, taps), RIDGE * runs.dry.square().sum() / bins + 1e-12
    for phase_bin, (matrix, right) in enumerate(_normal_equations(runs, taps, bins)):
        total += matrix
        table[phase_bin] = fixed + ridge_solution(matrix, right - matrix @ fixed, least)
    return table, total / int((runs.ends - runs.starts).sum())


def _fixed(songs: Sequence[Stretch], taps: int) -> Tensor:
    """Least squares taps that stand still, (N,) float64: those of a single bin of any width."""
    matrix, right = next(_normal_equations(_runs(songs, 2 * math.pi / LENGTH, taps, 1), taps, 1))
    return ridge_solution(matrix, right, FEW_RIDGE * matrix.diagonal() + 1e-12)


def _normal_equations(runs: Runs, taps: int, bins: int) -> Iterator[tuple[Tensor, Tensor]]:
    """For each bin, products of windows of dry (N, oldest first) with each other and wet, summed: (N, N), (N,)."""
    begins = runs.starts != runs.ends.roll(1)
    ends = begins.roll(-1)
    # Where a run ends another begins, so that these products are of two bins.
    here = _products(runs.dry, runs.starts[(runs.bins == 0) & ~begins], taps)
    for phase_bin in range(bins):
        inside = runs.bins == phase_bin
        there = _products(runs.dry, runs.starts[(runs.bins == (phase_bin + 1) % bins) & ~begins], taps)
        before = here + _products(runs.dry, runs.starts[inside & begins], taps)
        after = there + _products(runs.dry, runs.ends[inside & ends], taps)
        last, right = _last_products(runs.dry, runs.wet, runs.starts[inside], runs.ends[inside], taps)
        yield _toeplitz_but_for(before - after, last), right
        here = there


def _products(dry: Tensor, edges: Tensor, taps: int) -> Tensor:
    """Products of the windows of dry (N, oldest first) before edges with each other, summed over these: (N, N)."""
    windows = dry[edges[:, None] + torch.arange(-taps, 0)]
    return windows.mT @ windows


def _last_products(dry: Tensor, wet: Tensor, starts: Tensor, ends: Tensor, taps: int) -> tuple[Tensor, Tensor]:
    """Products of windows of dry (N, oldest first) with their newest sample and with wet, over the runs: (N,), (N,)."""
    if not len(starts):
        # Songs shorter than a period do not reach every bin.
        return dry.new_zeros(taps), dry.new_zeros(taps)
    span = torch.arange(int((ends - starts).max()))
    inside = span < (ends - starts)[:, None]
    now = starts[:, None] + span
    reach = torch.arange(1 - taps, len(span))
    size = next_fast_len(len(reach), real=True)
    seen_dry = torch.fft.rfft(dry[starts[:, None] + reach], size)
    last, right = (
        torch.fft.irfft((seen_dry * torch.fft.rfft(x[now] * inside, size).conj()).sum(0), size)[:taps]
        for x in (dry, wet)
    )
    return last, right


def _toeplitz_but_for(change: Tensor, last: Tensor) -> Tensor:
    """The symmetric matrix (N, N) with this last row (N,) that grows by `change` (N, N) up its diagonals.

    As in matrix[i, j] = matrix[i + 1, j + 1] + change[i + 1, j + 1].
    """
    taps = len(last)
    # Seen so, entries i, i + d of a matrix with as many zeros beside it are at i, d.
    diagonals = (taps, taps), (2 * taps + 1, 1)
    steps = F.pad(change, (0, taps)).as_strided(*diagonals)
    below = steps.flip(0).cumsum(0).flip(0) - steps
    upper = change.new_zeros(taps, 2 * taps)
    upper.as_strided(*diagonals).copy_(below + last.flip(0))
    upper = upper[:, :taps].triu()
    return upper + upper.triu(1).mT


def _runs(songs: Sequence[Stretch], rate: float, taps: int, bins: int = BINS) -> Runs:
    """The stretches in a row, each after the taps before it and followed by silence, and their runs."""
    width = 2 * math.pi / (bins * rate)
    after = math.ceil(width) + 1  # of silence, into which the window of a shorter run may reach
    dry = torch.cat([F.pad(song.dry.double(), (0, after)) for song in songs])
    wet = torch.cat([F.pad(song.wet.double(), (taps, after)) for song in songs])
    starts, ends, of_run, first = [], [], [], 0
    for song in songs:
        samples = song.wet.numel()
        number = torch.arange(math.floor(song.start / width), math.ceil((song.start + samples) / width) + 1)
        edges = torch.ceil(number.double() * width).long().sub(song.start).clamp(0, samples)
        starts.append(first + taps + edges[:-1])
        ends.append(first + taps + edges[1:])
        of_run.append(number[:-1] % bins)
        first += taps + samples + after
    return Runs(dry, wet, torch.cat(starts), torch.cat(ends), torch.cat(of_run))


def drift(songs: Sequence[Stretch], movement: Movement) -> float:
    """Correction of the rate, in radians a sample: one Gauss-Newton step on phase and rate."""
    matrix, right = torch.zeros(2, 2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    mixing = movement.taps.mixing
    slopes = 1j * torch.arange(mixing.shape[0], dtype=torch.float64)[:, None] * mixing
    for song, (predicted, slope) in zip(songs, _moved(songs, movement, mixing, slopes), strict=True):
        columns = torch.stack((slope, slope * _times(song)))
        matrix, right = matrix + columns @ columns.mT, right + columns @ (song.wet - predicted)
    return float(torch.linalg.lstsq(matrix, right).solution[1])
