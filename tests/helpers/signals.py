"""Test signals, and measurements of effects with them."""

import math

import torch
from torch import Tensor

from fxemu.effects import Effect

RATE = 44_100


def noise(samples: int, seed: int = 0) -> Tensor:
    return torch.rand(samples, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def music(samples: int) -> Tensor:
    """Noise in steps of 50 ms, each of another level between -40 and 0 dB."""
    steps = 10 ** (noise(samples // 2205 + 1, seed=1) - 1)
    return noise(samples) * steps.repeat_interleave(2205)[:samples]


def sine(frequency_hz: float, level: float = 1.0, samples: int = RATE) -> Tensor:
    t = torch.arange(samples, dtype=torch.float64) / RATE
    return (level * torch.sin(2 * math.pi * frequency_hz * t)).float()


def square(level_db: float, samples: int = RATE) -> Tensor:
    """A square wave of 1050 Hz: its level is the same at each sample."""
    return 10 ** (level_db / 20) * (1 - 2 * (torch.arange(samples) // 21 % 2)).float()


def decibels(ratio: Tensor | float) -> float:
    return 20 * math.log10(float(ratio))


def gain_db(effect: Effect, frequency_hz: float, level: float = 0.5) -> float:
    """Gain at a whole frequency in Hz, from the second half second of a sine."""
    half = RATE // 2
    turn = torch.exp(-2j * math.pi * frequency_hz * torch.arange(half, dtype=torch.float64) / RATE)
    amplitude = (effect(sine(frequency_hz, level), RATE)[-half:] * turn).mean().abs() * 2
    return decibels(amplitude / level)


def impulse_response(effect: Effect, samples: int = RATE) -> Tensor:
    impulse = torch.zeros(samples)
    impulse[0] = 1.0
    return effect(impulse, RATE)


def harmonics(effect: Effect, frequency_hz: int, count: int, level: float = 1.0) -> Tensor:
    """Amplitudes of the first `count` multiples of a frequency, an even number of Hz, in the second half second."""
    wet = effect(sine(frequency_hz, level), RATE)[-RATE // 2 :]
    half = frequency_hz // 2
    return torch.fft.rfft(wet).abs()[half : count * half + 1 : half] / (RATE / 4)
