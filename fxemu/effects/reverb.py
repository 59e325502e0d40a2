"""Reverbs: a hall, a plate and a spring, each by the impulse response of a model.

The responses end where they are 100 dB down, have unit energy, and are convolved with dry by FFT.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from scipy import signal
from torch import Tensor

from fxemu.effects.base import Effect
from fxemu.errors import check_range

SOUND_M_PER_S = 343.0


def convolve(dry: Tensor, response: NDArray, mix: float) -> Tensor:
    """(1 - mix) dry + mix (response * dry), where * is convolution: float64 (samples,), as long as dry."""
    wet = signal.oaconvolve(dry.double().numpy(), response)[: dry.numel()]
    return (1 - mix) * dry + mix * torch.from_numpy(wet)


def unit_energy(response: NDArray) -> NDArray:
    """The response scaled to unit energy: noise keeps its level."""
    return response / np.sqrt(np.square(response).sum())


class Reverb(Effect):
    """Base of the reverbs: a decay to -60 dB, a damping of the highs, and a mix."""

    def __init__(self, decay_s: float, damping_hz: float, mix: float) -> None:
        check_range("decay_s", decay_s, 0.1, 10, "s")
        check_range("damping_hz", damping_hz, 200, 20_000, "Hz")
        check_range("mix", mix, 0, 1)
        self.decay_s, self.damping_hz, self.mix = decay_s, damping_hz, mix
        self.length_s = decay_s * 100 / 60
        self.memory_s = self.length_s + 0.001

    @abstractmethod
    def response(self, sample_rate: int) -> NDArray:
        """The impulse response, float64 (length_s * sample_rate,)."""

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        return convolve(dry, self.response(sample_rate), self.mix)


class RoomReverb(Reverb):
    """A room as a feedback delay network, its eight lines about as long as the paths between its walls (Jot 1991).

    Args:
        decay_s: until the reverb is 60 dB down, 0.1 to 10 s.
        size_m: from wall to wall, 1 to 50 m.
        damping_hz: first-order low-pass at each reflection, 200 to 20000 Hz.
        mix: 0 (dry) to 1 (reverb alone).
    """

    def __init__(self, decay_s: float = 1.5, size_m: float = 8.0, damping_hz: float = 8000.0, mix: float = 0.3) -> None:
        super().__init__(decay_s, damping_hz, mix)
        check_range("size_m", size_m, 1, 50, "m")
        self.shortest_s = size_m / SOUND_M_PER_S

    def response(self, sample_rate: int) -> NDArray:
        return network_response(self.shortest_s, self.decay_s, self.damping_hz, self.length_s, sample_rate)


class PlateReverb(Reverb):
    """A plate: four diffusing all-passes (Dattorro 1997) into a network of short lines, dense from the start.

    Args:
        decay_s: until the reverb is 60 dB down, 0.1 to 10 s.
        damping_hz: first-order low-pass at each return, 200 to 20000 Hz.
        mix: 0 (dry) to 1 (reverb alone).
    """

    LINES_S = 0.009
    DIFFUSERS = ((0.00477, 0.75), (0.0036, 0.75), (0.01273, 0.625), (0.0093, 0.625))

    def __init__(self, decay_s: float = 1.5, damping_hz: float = 14_000.0, mix: float = 0.3) -> None:
        super().__init__(decay_s, damping_hz, mix)

    def response(self, sample_rate: int) -> NDArray:
        return network_response(self.LINES_S, self.decay_s, self.damping_hz, self.length_s, sample_rate, self.DIFFUSERS)


class SpringReverb(Reverb):
    """A spring: echoes that run to and fro along it, each more of a chirp, as lows travel faster than highs.

    One traversal is a delay and a chain of stretched all-passes; after Valimaki, Parker & Abel, "Parametric spring
    reverberation effect" (2010), of which this keeps the low-frequency chirps, in closed form.

    Args:
        decay_s: until the reverb is 60 dB down, 0.1 to 10 s.
        delay_ms: of one traversal of the spring, 10 to 100 ms.
        damping_hz: the spring's upper limit, 200 to 20000 Hz.
        mix: 0 (dry) to 1 (reverb alone).
    """

    def __init__(
        self, decay_s: float = 1.5, delay_ms: float = 40.0, damping_hz: float = 3600.0, mix: float = 0.3
    ) -> None:
        super().__init__(decay_s, damping_hz, mix)
        check_range("delay_ms", delay_ms, 10, 100, "ms")
        self.delay_s = delay_ms / 1000

    def response(self, sample_rate: int) -> NDArray:
        return spring_response(self.delay_s, self.decay_s, self.damping_hz, self.length_s, sample_rate)


@lru_cache(maxsize=8)
def network_response(
    shortest_s: float,
    decay_s: float,
    damping_hz: float,
    length_s: float,
    sample_rate: int,
    diffusers: Sequence[tuple[float, float]] = (),
) -> NDArray:
    """Impulse response (length_s * sample_rate,) of a feedback delay network, its eight lines spread over an octave.

    Args:
        shortest_s: length of the shortest line.
        diffusers: (delay in s, gain) of all-passes (z^-d - g) / (1 - g z^-d) before the network.
    """
    impulse = np.zeros(math.ceil(length_s * sample_rate))
    impulse[0] = 1.0
    for delay_s, gain in diffusers:
        gap = [0.0] * (max(1, round(delay_s * sample_rate)) - 1)
        impulse = signal.lfilter([-gain, *gap, 1], [1, *gap, -gain], impulse)
    delays = np.round(shortest_s * sample_rate * 2 ** (np.arange(8) / 8)).astype(np.int64)
    delays = np.maximum(delays, 1 + np.arange(8))
    # Each line loses as much as its length takes of the decay (Jot & Chaigne 1991).
    gains = 10 ** (-3 * delays / (decay_s * sample_rate))
    damping = math.exp(-2 * math.pi * damping_hz / sample_rate)
    return unit_energy(delay_network(impulse, delays, gains, damping))


@njit(cache=True)
def delay_network(x: NDArray, delays: NDArray, gains: NDArray, damping: float) -> NDArray:
    """x (samples,) through delay lines that feed each other by a Householder reflection, their ends summed with
    alternating signs; each line ends in a gain and a one-pole average."""
    lines = np.zeros((delays.size, x.size + delays.max()))
    ends = np.zeros(delays.size)
    wet = np.zeros_like(x)
    for n in range(x.size):
        for k in range(delays.size):
            ends[k] = damping * ends[k] + (1 - damping) * gains[k] * lines[k, n]
            wet[n] += ends[k] if k % 2 else -ends[k]
        mean = 2 * ends.sum() / ends.size
        for k in range(delays.size):
            lines[k, n + delays[k]] = x[n] + ends[k] - mean
    return wet


@lru_cache(maxsize=8)
def spring_response(delay_s: float, decay_s: float, damping_hz: float, length_s: float, sample_rate: int) -> NDArray:
    """Impulse response (length_s * sample_rate,) of H = L T / (1 + g T^2), T = z^-d ((a + z^-k) / (1 + a z^-k))^m.

    T is one traversal of the spring, L a low-pass; the stretch k puts the all-passes' longest delay at the upper limit.
    """
    stages, a, samples = 60, 0.6, math.ceil(length_s * sample_rate)
    stretch = max(1, round(sample_rate / (2 * damping_hz)))
    limit_hz = min(damping_hz, 0.45 * sample_rate)
    delay = round(delay_s * sample_rate)
    # Four times as long as the part that is kept, so that little of the rest wraps around into it.
    size = 4 * samples
    turns = 2 * np.pi * np.fft.rfftfreq(size)
    z = np.exp(-1j * turns)
    traversal = z**delay * ((a + z**stretch) / (1 + a * z**stretch)) ** stages
    slowest = delay + stages * stretch * (1 - a) / (1 + a)
    reflection = 10 ** (-3 * 2 * slowest / (decay_s * sample_rate))
    _, lowpass = signal.sosfreqz(signal.butter(6, limit_hz, fs=sample_rate, output="sos"), turns)
    return unit_energy(np.fft.irfft(lowpass * traversal / (1 + reflection * traversal**2), size)[:samples])
