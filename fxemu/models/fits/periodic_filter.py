"""Closed-form fits of a filter that repeats: its rate, and its taps by phase, from dry and wet samples.

Shapes: T samples, N taps (oldest first), P bins of phase, R basis filters, K harmonics.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.fft import next_fast_len
from scipy.optimize import minimize_scalar
from scipy.signal import oaconvolve
from torch import Tensor
from torch.nn import functional as F

Songs = Sequence[tuple[Tensor, Tensor]]
BINS = 256
# Bins while the rate alone is looked for.
COARSE = 64
# Regularisation as a share of the mean energy of a lag: of the fixed filter towards 0, and of the moving one towards
# that, where dry says little. With 1e-7 for both a phaser of other makers had ten times the error, ours as much.
RIDGE, MOVING_RIDGE = 1e-7, 1e-4
# Samples over which the filter is taken to stand still when its rate is looked for, and shapes of it that are followed.
FRAME, SHAPES = 512, 16
# Harmonics that the rate is refined with, and places tried around the peak.
FEW, PLACES = 6, 129
# The strongest harmonic of the taps' movement may be any up to this one.
SLOWER = 16
# Phases at which the rows of a table are kept when a whole song is predicted.
FINE = 4096


@dataclass(frozen=True)
class PeriodicTaps:
    """A filter whose taps are the sum over k and r of re(mixing[k, r] e^(i k phase)) basis[r]."""

    basis: Tensor
    """(R, N), oldest tap first; of unit power each where dry is like the training songs."""
    mixing: Tensor
    """(K + 1, R), complex."""


def fit_periodic_taps(songs: Songs, taps: int, rank: int, harmonics: int) -> tuple[float, PeriodicTaps]:
    """The rate in radians a sample, and the filter; every song begins at phase 0."""
    rate = find_movement_rate(songs, taps)
    for _ in range(2):
        rate += drift(songs, rate, _factored(songs, rate, taps, rank, min(harmonics, COARSE // 4), COARSE))
    return rate, _factored(songs, rate, taps, rank, harmonics, BINS)


def find_movement_rate(songs: Songs, taps: int) -> float:
    """The rate in radians a sample at which the response of wet to dry repeats, good to a part of a cycle in a song.

    What no fixed filter explains is compared with dry frame by frame, both whitened; the strongest peak in the spectrum
    of how this response changes is the rate, refined to where its first harmonics are strongest over all songs.
    """
    series = _shapes([_responses(dry, rest, taps) for dry, rest in _departures(songs, taps)])
    longest = max(len(x) for x in series)
    size = next_fast_len(8 * longest, real=True)
    windowed = [x * torch.hann_window(len(x), dtype=x.dtype)[:, None] for x in series]
    spectrum = sum(torch.fft.rfft(x, size, dim=0).abs().square().sum(1) for x in windowed)
    # Two cycles or more in the longest song: what is slower cannot be told from a trend.
    slowest, width = 2 * size // longest, 2 * math.pi / longest
    peak = 2 * math.pi / size * (slowest + int(spectrum[slowest:].argmax()))
    return _undivided(series, _refined(series, peak, width)) / FRAME


def _refined(series: list[Tensor], peak: float, width: float) -> float:
    """The rate, in radians a frame, within `width` around a peak, whose harmonics are strongest."""
    rates = torch.linspace(peak - width / 2, peak + width / 2, PLACES, dtype=torch.float64).tolist()
    best, step = max(rates, key=lambda rate: _strength(series, rate)), width / (PLACES - 1)
    result = minimize_scalar(lambda rate: -_strength(series, rate), bounds=(best - step, best + step), method="bounded")
    return float(result.x)


def _undivided(series: list[Tensor], peak: float) -> float:
    """The rate of which a peak is a harmonic: the fastest whose lines hold nearly all that those of slower ones do."""
    # Two widths of a line away, where there is as much that is no line.
    aside = 4 * math.pi / max(len(x) for x in series)

    def standing_out(rate: float, harmonics: int) -> float:
        beside = sum(_strength(series, rate, harmonics, offset) for offset in (aside, -aside)) / 2
        return _strength(series, rate, harmonics) - beside

    strengths = [standing_out(peak / m, FEW * m) for m in range(1, SLOWER + 1)]
    return peak / next(m for m, x in enumerate(strengths, start=1) if x >= 0.9 * max(strengths))


def _strength(series: list[Tensor], rate: float, harmonics: int = FEW, offset: float = 0.0) -> float:
    """Energy at the first harmonics of a rate, all shifted by `offset`, over songs that all begin at phase 0.

    Both in radians a frame.
    """
    angular = torch.arange(1.0, harmonics + 1, dtype=torch.float64) * rate + offset
    times = [torch.arange(len(x), dtype=torch.float64)[:, None] for x in series]
    sums = [sum(f(t * angular).mT @ x for t, x in zip(times, series, strict=True)) for f in (torch.cos, torch.sin)]
    return float(sum(part.square().sum() for part in sums))


def _departures(songs: Songs, taps: int) -> list[tuple[Tensor, Tensor]]:
    """The songs in float64, and instead of wet what the best fixed filter leaves of it."""
    fixed = _fixed(songs, taps)
    return [(dry.double(), wet.double() - _filtered(dry, fixed)) for dry, wet in songs]


def _fixed(songs: Songs, taps: int) -> Tensor:
    """The best fixed filter (N,) float64."""
    matrix, right = _summed(songs, taps)
    return _solved(matrix, right, RIDGE * float(matrix.diagonal().mean()) + 1e-12)


def _summed(songs: Songs, taps: int) -> tuple[Tensor, Tensor]:
    """The normal equations of one filter for all of the songs."""
    matrix, right = torch.zeros(taps, taps, dtype=torch.float64), torch.zeros(taps, dtype=torch.float64)
    for dry, wet in songs:
        x, y = (F.pad(side.double(), (taps, 1)) for side in (dry, wet))
        parts = _normal_equations(x, y, torch.tensor([taps]), torch.tensor([taps + dry.numel()]), taps)
        matrix, right = matrix + parts[0], right + parts[1]
    return matrix, right


def _filtered(dry: Tensor, taps: Tensor) -> Tensor:
    """dry (T,) through a filter (N,), oldest tap first, from silence: (T,) float64."""
    return torch.from_numpy(oaconvolve(dry.double().numpy(), taps.flip(0).numpy())[: dry.numel()])


def _responses(dry: Tensor, rest: Tensor, taps: int) -> Tensor:
    """Responses of `rest` to dry by frames: (frames, N), oldest lag first, in float32; 0 where dry is silent."""
    size = next_fast_len(dry.numel(), real=True)
    spectra = torch.fft.rfft(torch.stack((dry, rest)), size)
    x, y = torch.fft.irfft(spectra / _smooth(spectra[0].abs()), size)[:, : dry.numel()]
    frames = y[: y.numel() // FRAME * FRAME].view(-1, FRAME)
    seen_dry = F.pad(x, (taps - 1, 0)).unfold(0, FRAME + taps - 1, FRAME)[: len(frames)]
    size = next_fast_len(FRAME + taps - 1, real=True)
    products = torch.fft.irfft(torch.fft.rfft(seen_dry, size) * torch.fft.rfft(frames, size).conj(), size)[:, :taps]
    energy = seen_dry[:, taps - 1 :].square().sum(1, keepdim=True)
    return (products / (energy + 0.1 * energy.mean() + 1e-12)).float()


def _smooth(magnitudes: Tensor, width: int = 501) -> Tensor:
    """A running mean over frequency, with a floor of a thousandth of the largest."""
    smooth = F.avg_pool1d(F.pad(magnitudes[None], (width // 2, width // 2), "reflect"), width, 1)[0]
    return smooth + 1e-3 * smooth.max() + 1e-12


def _shapes(responses: list[Tensor]) -> list[Tensor]:
    """The strongest shapes in which responses depart from their mean, over frames: (frames, SHAPES) float64 a song."""
    mean = torch.cat(responses).mean(0)
    departures = [x - mean for x in responses]
    covariance = sum(x.mT @ x for x in departures)
    shapes = torch.linalg.eigh(covariance.double()).eigenvectors[:, -SHAPES:].float()
    return [(x @ shapes).double() for x in departures]


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
    fixed, least = _fixed(songs, taps), MOVING_RIDGE * float(dry.square().sum()) / bins + 1e-12
    for phase_bin in range(bins):
        inside = of_run == phase_bin
        matrix, right = _normal_equations(dry, wet, starts[inside], ends[inside], taps)
        total += matrix
        table[phase_bin] = fixed + _solved(matrix, right - matrix @ fixed, least)
    return table, total / dry.numel()


def _solved(matrix: Tensor, right: Tensor, least: float) -> Tensor:
    """Ridge regression from normal equations (N, N), (N,)."""
    raised = matrix + least * torch.eye(matrix.shape[0], dtype=matrix.dtype)
    return torch.cholesky_solve(right[:, None], torch.linalg.cholesky(raised))[:, 0]


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


def _normal_equations(dry: Tensor, wet: Tensor, starts: Tensor, ends: Tensor, taps: int) -> tuple[Tensor, Tensor]:
    """Of windows of dry (N, oldest first) against wet, summed over all samples of the runs: (N, N), (N,)."""
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


def drift(songs: Songs, rate: float, filtering: PeriodicTaps) -> float:
    """By how much the true rate is higher, in radians a sample: one Gauss-Newton step on phase and rate."""
    matrix, right = torch.zeros(2, 2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    harmonics = filtering.mixing.shape[0]
    order = 1j * torch.arange(harmonics, dtype=torch.float64)
    rotations = torch.exp(order * (2 * math.pi / FINE) * torch.arange(FINE)[:, None])
    values, slopes = ((rotations @ mixing).real for mixing in (filtering.mixing, order[:, None] * filtering.mixing))
    for dry, wet in songs:
        t = torch.arange(dry.numel(), dtype=torch.float64)
        at = torch.round(t * (rate * FINE / (2 * math.pi))).long() % FINE
        error, slope = wet.double(), torch.zeros_like(t)
        for r, taps in enumerate(filtering.basis):
            part = _filtered(dry, taps)
            error = error - values[at, r] * part
            slope = slope + slopes[at, r] * part
        columns = torch.stack((slope, slope * t))
        matrix, right = matrix + columns @ columns.mT, right + columns @ error
    return float(torch.linalg.lstsq(matrix, right).solution[1])
