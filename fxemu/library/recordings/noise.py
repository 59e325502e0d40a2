"""Noise in a recorded wet: its level where dry is silent, or, where dry never is, the steady noise beside the music.

Shapes: N samples of wet, B blocks of 20 ms.
"""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK_S = 0.02
QUIET = 1e-4  # -80 dBFS
SETTLED = 10  # blocks of silence of dry, after which wet is its noise
BAND, STEADY = (0.34, 0.45), 1.6  # of the sample rate; most of the median power of noise over that of a quiet block


def blocks_of(x: Tensor, sample_rate: int) -> Tensor:
    """x (N,) in blocks of 20 ms: (B, samples)."""
    size = int(BLOCK_S * sample_rate)
    return x[: x.numel() // size * size].reshape(-1, size)


def noise_in_silence(dry: Tensor, wet: Tensor, sample_rate: int) -> Tensor | None:
    """Wet where dry has been silent for 0.2 s, in blocks, without its mean, which is no noise; None if it never is."""
    quiet = blocks_of(dry, sample_rate).abs().amax(1) < QUIET
    settled = quiet.float().unfold(0, SETTLED + 1, 1).amin(1) > 0 if quiet.numel() > SETTLED + 1 else quiet[:0]
    if not settled.any():
        return None
    noise = blocks_of(wet, sample_rate)[settled.nonzero()[:, 0] + SETTLED]
    return noise - noise.mean()


def steady_noise(wet: Tensor, sample_rate: int) -> float | None:
    """RMS of white noise that is as strong at high frequencies in most of wet; None where music reaches there.

    Noise is the same in all blocks, music is not.
    """
    blocks = blocks_of(wet, sample_rate).double()
    power = torch.fft.rfft(blocks * torch.hann_window(blocks.shape[1], dtype=torch.float64)).abs().square()
    band = power[:, int(BAND[0] * blocks.shape[1]) : int(BAND[1] * blocks.shape[1])].mean(1)
    if len(band) < SETTLED or not 0 < band.median() < STEADY * band.quantile(0.1):
        return None
    # A Hann window keeps 3/8 of the power.
    return float((band.median() / (0.375 * blocks.shape[1])).sqrt())


def hum_hz(noise: Tensor, sample_rate: int) -> int:
    """The mains frequency, 50 or 60 Hz, that with its first harmonics holds most of the noise; 0 for none."""
    if noise.numel() < sample_rate // 4:
        return 0
    power = torch.fft.rfft(noise * torch.hann_window(noise.numel())).abs().square()
    width = noise.numel() / sample_rate
    for mains in (50, 60):
        lines = [slice(int((mains * k - 4) * width), int((mains * k + 4) * width) + 1) for k in range(1, 7)]
        if sum(float(power[line].sum()) for line in lines) > 0.5 * float(power.sum()):
            return mains
    return 0
