"""Closed-form fits of a gain that repeats: its rate, its waveform and its phase, from dry and wet samples."""

from __future__ import annotations

import math

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

# Samples at once: a block of the design matrix stays small.
BLOCK = 1 << 16
# Harmonics that the rate is refined with.
FEW = 3


def find_rate(dry: Tensor, wet: Tensor) -> float:
    """The rate in radians a sample of the strongest periodic part of wet / dry, both (samples,) float64.

    The highest peak in the spectrum of how the ratio departs from a constant (0 where dry is silent), refined to
    where the first harmonics explain most of wet (nonlinear least squares; Quinn & Hannan, "The estimation and tracking
    of frequency", 2001).
    """
    departure = wet - (wet @ dry) / (dry @ dry) * dry
    ratio = departure * dry / (dry.square() + 1e-4 * dry.square().mean())
    spectrum = torch.fft.rfft(ratio * torch.hann_window(dry.numel(), dtype=dry.dtype)).abs()
    bin_width = 2 * math.pi / dry.numel()
    # Two cycles or more in the song: what is slower cannot be told from a trend.
    rate = bin_width * (2 + int(spectrum[2:].argmax()))
    result = minimize_scalar(
        lambda x: _residual(dry, wet, x, FEW),
        bounds=(rate - bin_width, rate + bin_width),
        method="bounded",
        options={"xatol": 1e-7 * bin_width},
    )
    return float(result.x)


def fit_waveform(dry: Tensor, wet: Tensor, rate: float, harmonics: int) -> tuple[Tensor, Tensor]:
    """Least squares of wet[t] = dry[t] (mean + sum over k of re(p_k e^(i k rate t))): mean, p (harmonics,) complex."""
    matrix, right = _normal_equations(dry, wet, rate, harmonics)
    # The little that is added keeps harmonics above half the sample rate, or of a silent song, from growing.
    matrix = matrix + 1e-9 * matrix.diagonal().mean() * torch.eye(matrix.shape[0], dtype=matrix.dtype)
    solution = torch.linalg.solve(matrix, right)
    return solution[0], torch.complex(solution[1 : 1 + harmonics], -solution[1 + harmonics :])


def _residual(dry: Tensor, wet: Tensor, rate: float, harmonics: int) -> float:
    """Energy of wet that the best waveform of that rate leaves, as a share."""
    matrix, right = _normal_equations(dry, wet, rate, harmonics)
    return float(1 - right @ torch.linalg.lstsq(matrix, right).solution / wet.square().sum())


def _normal_equations(dry: Tensor, wet: Tensor, rate: float, harmonics: int) -> tuple[Tensor, Tensor]:
    """Normal equations of dry times (1, cosines, sines) against wet: (2K + 1, 2K + 1), (2K + 1,)."""
    size = 2 * harmonics + 1
    matrix, right = dry.new_zeros(size, size), dry.new_zeros(size)
    order = torch.arange(1, harmonics + 1, dtype=dry.dtype)
    for first in range(0, dry.numel(), BLOCK):
        x, y = dry[first : first + BLOCK], wet[first : first + BLOCK]
        angles = torch.arange(first, first + x.numel(), dtype=dry.dtype)[:, None] * rate * order
        columns = x[:, None] * torch.cat((torch.ones_like(x)[:, None], angles.cos(), angles.sin()), dim=1)
        matrix, right = matrix + columns.mT @ columns, right + columns.mT @ y
    return matrix, right
