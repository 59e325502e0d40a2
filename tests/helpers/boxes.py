"""Ten simulated fuzzes and amplifiers, and dry audio that misleads an aligner: bass lines and a sweep."""

import numpy as np
import torch
from scipy.signal import butter, lfilter
from torch import Tensor

RATE = 44_100


def bass_and_sweep() -> Tensor:
    """6 s of decaying harmonic notes of 41 to 196 Hz at 0.4, and 2 s of a sweep from 20 Hz to 10 kHz at 0.3."""
    rng = np.random.default_rng(0)
    notes = []
    for length in rng.choice([RATE // 4, RATE // 2], 40):
        t, pitch = np.arange(length) / RATE, 41.2 * 2 ** (rng.integers(0, 28) / 12)
        notes.append(sum(np.sin(2 * np.pi * pitch * k * t) / k for k in range(1, 9)) * np.exp(-3 * t))
    line = np.concatenate(notes)[: 6 * RATE]
    t, rate = np.arange(2 * RATE) / RATE, np.log(500)
    sweep = 0.3 * np.sin(2 * np.pi * 20 * 2 / rate * np.expm1(t / 2 * rate))
    return torch.from_numpy(np.concatenate((0.4 * line / np.abs(line).max(), sweep)).astype(np.float32))


def _high(x: np.ndarray, hz: float) -> np.ndarray:
    return lfilter(*butter(1, 2 * hz / RATE, "high"), x)


def _low(x: np.ndarray, hz: float, order: int = 1) -> np.ndarray:
    return lfilter(*butter(order, 2 * hz / RATE), x)


def _level(x: np.ndarray, seconds: float) -> np.ndarray:
    keep = np.exp(-1 / (seconds * RATE))
    return lfilter([1 - keep], [1, -keep], np.abs(x))


def _hard(x: np.ndarray, gain: float) -> np.ndarray:
    return -0.3 * _high(_low(np.tanh(gain * _high(x, 60) + 0.6) - np.tanh(0.6), 4000), 40)


def _germanium(x: np.ndarray) -> np.ndarray:
    driven = 60 * _high(x, 30) - 25 * _level(x, 0.08)
    return _high(_low(np.where(driven > 0, np.tanh(driven), np.tanh(driven / 2) / 0.7), 6000, 2), 20)


_BOXES = {
    "hard fuzz": lambda x: _hard(x, 200),
    "harder fuzz": lambda x: _hard(x, 2000),
    "asymmetric": lambda x: np.clip(20 * x + 0.15, -0.6, 1) - 0.15,
    "germanium": _germanium,
    "crossover": lambda x: np.tanh(8 * np.sign(x) * np.maximum(np.abs(x) - 0.05, 0)),
    "octave": lambda x: 0.8 * _high(np.tanh(10 * np.abs(_high(x, 100))), 80),
    "overdrive": lambda x: _low(x + np.tanh(50 * _high(x, 720)), 1400) / 2,
    "amplifier": lambda x: 0.6 * _low(_high(np.tanh(30 * _low(_high(x, 120), 8000)), 100), 5000, 4),
    "dull, inverted": lambda x: -_low(np.tanh(30 * x), 1000, 2),
    "gated": lambda x: np.tanh(100 * _high(x, 80)) * (_level(x, 0.005) > 0.02),
}
BOXES = {
    name: lambda x, box=box: torch.from_numpy(box(x.double().numpy()).astype(np.float32))
    for name, box in _BOXES.items()
}
