"""Measures of an emulation, as the field defines them. All take wet (samples,) and its prediction, float."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torchaudio import functional as AF

EPSILON = 1e-12
# FFT size, hop and window in samples: auraloss's defaults (Steinmetz & Reiss 2020, after Yamamoto et al. 2020).
RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))


def esr(prediction: Tensor, target: Tensor) -> float:
    """Error-to-signal ratio, sum(e^2) / sum(y^2)."""
    error = (prediction - target).double()
    return float(error.square().sum() / (target.double().square().sum() + EPSILON))


def nmae(prediction: Tensor, target: Tensor) -> float:
    """Normalised mean absolute error, mean |e| / mean |y|."""
    return float((prediction - target).abs().double().sum() / (target.abs().double().sum() + EPSILON))


def dc(prediction: Tensor, target: Tensor) -> float:
    """mean(e)^2 / mean(y^2) (Wright et al. 2019)."""
    error = (prediction - target).double()
    return float(error.mean().square() / (target.double().square().mean() + EPSILON))


def preemphasis(x: Tensor, coefficient: float = 0.85) -> Tensor:
    """x[t] - 0.85 x[t-1] (Wright et al. 2019)."""
    return AF.preemphasis(x, coefficient)


def mrstft(prediction: Tensor, target: Tensor) -> float:
    """Multi-resolution STFT distance: spectral convergence + mean |log magnitude ratio|, averaged (auraloss)."""
    return sum(_stft_distance(prediction, target, *r) for r in RESOLUTIONS) / len(RESOLUTIONS)


def _stft_distance(prediction: Tensor, target: Tensor, size: int, hop: int, window: int) -> float:
    shape = torch.hann_window(window)
    p, y = (
        torch.stft(x, size, hop, window, shape, return_complex=True).abs().clamp_min(1e-4) for x in (prediction, target)
    )
    return float((y - p).norm() / y.norm() + (y.log() - p.log()).abs().mean())


def diverged(prediction: Tensor, limit: float) -> bool:
    """Whether a free run ended stuck at its limit, or anything but finite: a tenth of its last second there."""
    last = prediction[-44_100:]
    return not bool(torch.isfinite(prediction).all()) or float((last.abs() >= 0.999 * limit).float().mean()) > 0.1


def over_all(pairs: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """(prediction, target) of several songs, end to end, for a ratio over all audio."""
    predictions, targets = zip(*pairs, strict=True)
    return torch.cat(predictions), torch.cat(targets)
