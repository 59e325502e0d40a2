"""Causal filters by least squares: several short ones together, or one of any length.

Shapes: T samples, I inputs, N taps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from scipy.fft import next_fast_len
from scipy.signal import oaconvolve
from torch import Tensor
from torch.nn import functional as F

# Regularisation as a share of the input's energy: weaker frequencies do not make taps grow.
RIDGE, FEW_RIDGE = 1e-9, 1e-7
ENOUGH = 1e-9  # of the right side's norm is left of it
FRAME = 8  # times N samples are transformed at once


def filtered(dry: Tensor, taps: Tensor) -> Tensor:
    """dry (T,) through a causal filter (N,) from silence: (T,) float64."""
    return torch.from_numpy(oaconvolve(dry.double().numpy(), taps.double().numpy())[: dry.numel()])


def each_filtered(dry: Tensor, filters: Tensor) -> Iterator[Tensor]:
    """dry (T,) through one causal filter of several (I, N) after another, from silence: (T,) float64 each."""
    song = _Song(dry, filters.shape[1], 0, torch.ones(1, dtype=torch.float64))
    return map(song.convolve, filters.double())


def fit_filters(songs: Sequence[tuple[Tensor, Tensor]], taps: int) -> Tensor:
    """The causal filters (I, N), float64, whose outputs for the inputs add up to the nearest to wet.

    Args:
        songs: inputs (I, T) and wet (T,), as if silent before.
        taps: N; the equations, solved at once, are of I * N unknowns.
    """
    parts = [_normal_equations(inputs.double(), wet.double(), taps) for inputs, wet in songs]
    matrix, right = (sum(part) for part in zip(*parts, strict=True))
    return ridge_solution(matrix, right, FEW_RIDGE * matrix.diagonal() + 1e-12).view(-1, taps)


def ridge_solution(matrix: Tensor, right: Tensor, least: Tensor) -> Tensor:
    """Ridge regression from normal equations (N, N), (N,); `least` is added to the diagonal."""
    raised = matrix + torch.diag(least.expand(len(matrix)))
    return torch.cholesky_solve(right[:, None], torch.linalg.cholesky(raised))[:, 0]


def _normal_equations(inputs: Tensor, wet: Tensor, taps: int) -> tuple[Tensor, Tensor]:
    """Products of the lags of the inputs (I, T) with each other and with wet (T,), summed: (I * N, I * N), (I * N,)."""
    count, length = len(inputs), FRAME * taps
    signals = torch.cat((inputs, wet[None]))
    padded = F.pad(signals, (taps, -signals.shape[1] % length + taps))
    around = torch.fft.rfft(padded.unfold(1, length + 2 * taps, length), dim=2)
    inner = F.pad(padded[:, taps:-taps].unfold(1, length, length), (taps, taps))
    cross = torch.einsum("ifk,jfk->kij", around, torch.fft.rfft(inner, dim=2).conj())
    # lags[l, i, j] is the sum over t of signal i at t + l times signal j at t.
    lags = torch.fft.irfft(cross, length + 2 * taps, dim=0)
    place = torch.arange(taps)[:, None] - torch.arange(taps)
    matrix = lags[place, :count, :count].permute(3, 0, 2, 1).reshape(count * taps, count * taps)
    # Less what the filters would play after the song's end.
    ends = F.pad(F.pad(inputs, (taps, 0))[:, -taps:], (0, taps)).unfold(1, taps, 1)[:, 1:].flip(1)
    ends = ends.reshape(count * taps, taps)
    return matrix - ends @ ends.mT, lags[:taps, count, :count].mT.reshape(-1)


def fit_filter(
    songs: Sequence[tuple[Tensor, Tensor]],
    taps: int,
    iterations: int = 30,
    skip: int = 0,
    factors: Sequence[Tensor] | None = None,
    start: Tensor | None = None,
) -> Tensor:
    """The causal filter (N,), float64, whose output for dry is nearest to wet, (T,) each.

    Conjugate gradients on the normal equations, every product by FFT, preconditioned by
    the mean spectrum of the input (Chan & Ng, "Conjugate gradient methods for Toeplitz systems", 1996), so that tens of
    thousands of taps take a minute. The first `skip` samples of each wet, which may follow from an unknown past, do not
    count. By `factors`, (T,) each, the output is multiplied before it is compared. It begins with the taps `start`, of
    which there may be fewer; with none if that is None.
    """
    factors = [torch.ones(1, dtype=torch.float64)] * len(songs) if factors is None else factors
    spectra = [_Song(dry, taps, skip, factor) for (dry, _), factor in zip(songs, factors, strict=True)]
    size = 2 * next_fast_len(taps, real=True)
    power = sum(_power(dry, size) for dry, _ in songs)
    power = power + RIDGE * power.mean()

    def normal(h: Tensor) -> Tensor:
        return sum(song.correlate(song.convolve(h)) for song in spectra) + ridge * h

    def precondition(r: Tensor) -> Tensor:
        return torch.fft.irfft(torch.fft.rfft(r, size) / power, size)[:taps]

    ridge = RIDGE * sum(float(dry.double().square().sum()) for dry, _ in songs)
    h = torch.zeros(taps, dtype=torch.float64)
    residual = sum(song.correlate(wet.double()) for song, (_, wet) in zip(spectra, songs, strict=True))
    least, direction, before = ENOUGH * float(residual.norm()), torch.zeros_like(h), 1.0
    if start is not None:
        h[: start.numel()] = start
        residual = residual - normal(h)
    for _ in range(iterations):
        z = precondition(residual)
        now = float(residual @ z)
        direction = z + (now / before) * direction
        image = normal(direction)
        length = now / float(direction @ image)
        h, residual, before = h + length * direction, residual - length * image, now
        if float(residual.norm()) < least:
            break
    return h


class _Song:
    """Convolution with a song, cut to its length, times a factor, and its transpose, less the song's start.

    Both by overlap-save, in frames some times as long as the filter, whose spectra are kept.
    """

    def __init__(self, dry: Tensor, taps: int, skip: int, factor: Tensor) -> None:
        self.samples, self.taps, self.skip, self.factor = dry.numel(), taps, skip, factor
        self.size = next_fast_len(min(FRAME * taps, dry.numel()) + taps - 1, real=True)
        self.hop = self.size - taps + 1
        whole = F.pad(dry.double(), (taps - 1, -dry.numel() % self.hop))
        self.spectra = torch.fft.rfft(whole.unfold(0, self.size, self.hop))

    def convolve(self, h: Tensor) -> Tensor:
        frames = torch.fft.irfft(torch.fft.rfft(h, self.size) * self.spectra, self.size)
        return self.factor * frames[:, self.taps - 1 :].reshape(-1)[: self.samples]

    def correlate(self, y: Tensor) -> Tensor:
        y = F.pad((self.factor * y)[self.skip :], (self.skip, -self.samples % self.hop))
        frames = F.pad(y.view(-1, self.hop), (self.taps - 1, 0))
        cross = (torch.fft.rfft(frames) * self.spectra.conj()).sum(0)
        return torch.fft.irfft(cross, self.size)[: self.taps]


def _power(dry: Tensor, size: int) -> Tensor:
    """Energy by frequency of a song (size / 2 + 1,), by Hann windows half over each other."""
    x = F.pad(dry.double(), (0, -dry.numel() % size + size))
    frames = x.unfold(0, size, size // 2) * torch.hann_window(size, dtype=torch.float64)
    return torch.fft.rfft(frames).abs().square().sum(0) * 2 / size * 4 / 3
