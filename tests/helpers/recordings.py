"""Simulated recordings for tests: music, small effects, and an interface with latency, drift and noise."""

import math

import numpy as np
import torch
from torch import Tensor
from torchaudio import functional as AF

RATE = 44_100


def music(seconds: float, seed: int = 0, silence_s: float = 0.5) -> Tensor:
    """Decaying notes with harmonics and a breath of noise, eight a second, after a silence; peak 0.9."""
    rng = np.random.default_rng(seed)
    samples, first = int(seconds * RATE), int(silence_s * RATE)
    song = np.zeros(samples)
    length = RATE // 2
    t = np.arange(length) / RATE
    for start in range(first, samples - length, RATE // 8):
        pitch = 110 * 2 ** (rng.integers(0, 30) / 12)
        note = sum(np.sin(2 * np.pi * pitch * k * t + rng.uniform(0, 6)) / k for k in range(1, 9))
        breath = 0.8 * np.convolve(rng.standard_normal(length), (0.1, 0.2, 0.4, 0.2, 0.1), "same") * np.exp(-t * 40)
        song[start : start + length] += rng.uniform(0.2, 1) * (note * np.exp(-t * 8) + breath)
    return torch.from_numpy((0.9 * song / np.abs(song).max()).astype(np.float32))


def fuzz(dry: Tensor) -> Tensor:
    """Asymmetric hard clipping, 26 dB hot."""
    return (20 * dry + 0.15).clamp(-0.6, 1) - 0.15


def reverb(dry: Tensor, seed: int = 1) -> Tensor:
    """The dry sound and half a second of decaying noise, drawn by the seed."""
    generator = torch.Generator().manual_seed(seed)
    t = torch.arange(RATE // 2)
    tail = 0.05 * torch.randn(t.numel(), generator=generator) * torch.exp(-t / 6000)
    tail[0] = 1
    return AF.fftconvolve(dry, tail)[: dry.numel()]


def compressor(dry: Tensor) -> Tensor:
    """4:1 above -26 dBFS, 10 ms."""
    keep = math.exp(-1 / (0.01 * RATE))
    a, b = torch.tensor([1.0, -keep]).double(), torch.tensor([1 - keep, 0.0]).double()
    envelope = AF.lfilter(dry.abs().double(), a, b, clamp=False)
    return (dry * (envelope / 0.05 + 1e-9).pow(-0.75).clamp(max=1)).float()


def interface(
    wet: Tensor, delay: float = 217.4, ppm: float = 12.0, noise_db: float = -40.0, tail: int = 9000, seed: int = 2
) -> Tensor:
    """Wet as recorded: late by `delay` samples, by a clock `ppm` fast, with noise that far below its RMS.

    Resampled exactly at each output by a sinc of 64 samples, without a table, and so by other means than fxemu's.
    """
    x = wet.double()
    place = (torch.arange(wet.numel() + tail, dtype=torch.float64) - delay) / (1 + ppm * 1e-6)
    whole = place.floor().long()
    out = torch.zeros(place.numel(), dtype=torch.float64)
    padded = torch.nn.functional.pad(x, (20_000, 20_000))
    for k in range(-31, 33):
        distance = place - whole - k
        taper = torch.cos(distance / 32 * math.pi / 2).clamp(min=0) ** 2
        out += padded[(whole + k + 20_000).clamp(0, padded.numel() - 1)] * torch.sinc(distance) * taper
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(out.numel(), generator=generator, dtype=torch.float64)
    return (out + noise * out.square().mean().sqrt() * 10 ** (noise_db / 20)).float()
