"""Least-squares fit of a long FIR filter, by conjugate gradients and the FFT."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from scipy.fft import next_fast_len
from torch import Tensor
from torch.nn import functional as F

# Regularisation as a share of the input's energy: weaker frequencies do not make taps grow.
RIDGE = 1e-9


def fit_filter(songs: Sequence[tuple[Tensor, Tensor]], taps: int, iterations: int = 30, skip: int = 0) -> Tensor:
    """The causal filter h (taps,), float64, whose output for dry is nearest to wet, (samples,) each.

    Conjugate gradients on the normal equations, every product an FFT convolution over whole songs, preconditioned by
    the mean spectrum of the input (Chan & Ng, "Conjugate gradient methods for Toeplitz systems", 1996), so that tens of
    thousands of taps take a minute. The first `skip` samples of each wet, which may follow from an unknown past, do not
    count.
    """
    spectra = [_Song(dry, taps, skip) for dry, _ in songs]
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
    start, direction, before = float(residual.norm()), torch.zeros_like(h), 1.0
    for _ in range(iterations):
        z = precondition(residual)
        now = float(residual @ z)
        direction = z + (now / before) * direction
        image = normal(direction)
        length = now / float(direction @ image)
        h, residual, before = h + length * direction, residual - length * image, now
        if float(residual.norm()) < 1e-9 * start:
            break
    return h


class _Song:
    """Convolution with a song, cut to its length, and its transpose, the correlation with it, less its start."""

    def __init__(self, dry: Tensor, taps: int, skip: int) -> None:
        self.samples, self.taps, self.skip = dry.numel(), taps, skip
        self.size = next_fast_len(dry.numel() + taps - 1, real=True)
        self.spectrum = torch.fft.rfft(dry.double(), self.size)

    def convolve(self, h: Tensor) -> Tensor:
        return torch.fft.irfft(torch.fft.rfft(h, self.size) * self.spectrum, self.size)[: self.samples]

    def correlate(self, y: Tensor) -> Tensor:
        y = F.pad(y[self.skip :], (self.skip, 0))
        return torch.fft.irfft(torch.fft.rfft(y, self.size) * self.spectrum.conj(), self.size)[: self.taps]


def _power(dry: Tensor, size: int) -> Tensor:
    """Energy by frequency of a song (size / 2 + 1,), by Hann windows half over each other."""
    x = F.pad(dry.double(), (0, -dry.numel() % size + size))
    frames = x.unfold(0, size, size // 2) * torch.hann_window(size, dtype=torch.float64)
    return torch.fft.rfft(frames).abs().square().sum(0) * 2 / size * 4 / 3
