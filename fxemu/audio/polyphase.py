"""Sample-rate conversion of a stream with a known delay, for players: a sinc in a Kaiser window.

The exported C has the same filter (`runtimes/c/host.c`), so that a plugin plays as the renderer does. At the lower of
the two rates it passes 0.91 of half the rate (20 kHz at 44.1 kHz) within 0.001 dB and takes 90 dB off from 1.09 times
half the rate on: what aliases lies above the passband.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fxemu.audio.resampling import Array

# Zero crossings of the sinc to either side, and its window (90 dB).
CROSSINGS, KAISER_BETA = 32, 8.96
# Rows of the table for a shift by one sample; between them it is linear, which errs by 6e-6.
PHASES = 256


def sinc_table(rate: int = 1, target: int = 1, phases: int = PHASES) -> NDArray[np.float64]:
    """The filter from a rate to another, at each fraction of a sample: (phases + 1, taps), each row with sum 1."""
    stretch, taps = max(1.0, rate / target), 2 * reach(rate, target)
    t = (np.arange(taps) - taps // 2 + 1 - np.arange(phases + 1)[:, None] / phases) / stretch
    table = np.sinc(t) * np.i0(KAISER_BETA * np.sqrt(np.clip(1 - (t / CROSSINGS) ** 2, 0, 1)))
    return table / table.sum(axis=1, keepdims=True)


def reach(rate: int, target: int) -> int:
    """Samples after the present one that the filter from a rate to another sees."""
    return max(CROSSINGS, -(-CROSSINGS * rate // target))


def round_trip(rate: int, model_rate: int, latency: int = 0) -> int:
    """Samples by which audio is late that is resampled to a model's rate and back: a whole number.

    Args:
        rate: of the audio, in Hz.
        model_rate: in Hz.
        latency: of the model, in its samples.
    """
    if rate == model_rate:
        return latency
    return (reach(model_rate, rate) + latency) * rate // model_rate + reach(rate, model_rate)


class Polyphase:
    """Sample-rate converter for one channel; its output does not depend on how the input is cut up.

    Args:
        rate, target: in Hz; if they are the same, samples pass as they are.
        start: the input sample at which the output begins.
    """

    def __init__(self, rate: int, target: int, start: int = 0) -> None:
        self.rate, self.target, self.start = rate, target, start
        self.table = _table(rate, target)
        # Samples not yet done with, at which of them the next window begins, and how far after it in 1 / target.
        self.seen, self.first, self.rest = np.zeros(self.table.shape[1] // 2 - 1, np.float32), start, 0

    def process(self, samples: Array) -> Array:
        """Output samples that are computable after these input samples (samples,), float32."""
        if self.rate == self.target:
            early, self.start = self.start, max(0, self.start - samples.size)
            return samples[early:]
        seen = np.concatenate((self.seen, samples), dtype=np.float32)
        out, self.first, self.rest = _resample(seen, self.first, self.rest, self.rate, self.target, self.table)
        done = min(self.first, seen.size)
        self.seen, self.first = seen[done:], self.first - done
        return out


@lru_cache(maxsize=16)
def _table(rate: int, target: int) -> Array:
    """The filter between two rates, with fewer rows where it is stretched, since it is smoother then."""
    return sinc_table(rate, target, min(PHASES, -(-PHASES * target // rate))).astype(np.float32)


@njit(cache=True, fastmath=True)
def _resample(
    seen: Array, first: int, rest: int, rate: int, target: int, table: Array
) -> tuple[Array, int, int]:  # pragma: no cover
    """All output samples that the seen ones allow, and where the next one is."""
    phases, taps = table.shape[0] - 1, table.shape[1]
    left = seen.size - taps - first
    out = np.empty(0 if left < 0 else ((left + 1) * target - rest - 1) // rate + 1, np.float32)
    for n in range(out.size):
        place = rest * phases
        row, share = place // target, np.float32(place % target) / np.float32(target)
        window, below, above = seen[first : first + taps], table[row], table[row + 1]
        low, high = np.float32(0), np.float32(0)
        for k in range(taps):
            low += window[k] * below[k]
            high += window[k] * above[k]
        out[n] = low + share * (high - low)
        rest += rate
        first += rest // target
        rest %= target
    return out, first, rest
