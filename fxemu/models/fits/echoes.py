"""Finding echoes: where wet repeats what dry was long before."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fxemu.models.fits.fir import fit_filter

# What comes sooner is the tail of a filter.
EARLIEST = 1024
# An echo's energy is so many times that of most stretches of the response, in amplitude: the response to a signal that
# is not bent as the effect bends it is noise of one size all over.
ABOVE = 12.0
# Conjugate gradient steps, and samples from the start of each song: to find a lag a rough response will do.
ITERATIONS, MOST = 8, 20 * 44_100


def find_lags(songs: Sequence[tuple[Tensor, Tensor]], count: int, width: int, longest: int) -> list[int]:
    """The lags at which echoes begin in songs, (dry, wet) of (samples,) each: at most `count`, `longest` samples.

    Peaks of the best linear response of wet to a bent dry, each a stretch of `width` taps of which a quarter lies
    before the peak; then the sums of their lags, at which echoes have echoes. None if there is no clear peak.
    """
    bent = [(torch.tanh(dry[:MOST]), wet[:MOST]) for dry, wet in songs]
    response = fit_filter(bent, longest, ITERATIONS)
    peaks = echo_peaks(response, count, width)
    kept = [peak for peak in peaks if peak + width <= longest]
    for peak in _sums(kept):
        if len(kept) < count and peak + width <= longest and all(abs(peak - other) >= width for other in kept):
            kept.append(peak)
    return [peak - width // 4 for peak in kept]


def echo_peaks(response: Tensor, count: int, width: int) -> list[int]:
    """Positions of the echoes in a response (samples,), at most `count` of `width` samples each, the loudest first."""
    response = response.clone()
    response[:EARLIEST] = 0
    energy = response.square().unfold(0, width, 1).sum(1)
    clear = ABOVE**2 * float(energy[EARLIEST:].median())
    peaks: list[int] = []
    while len(peaks) < count and float(energy.max()) > clear:
        first = int(energy.argmax())
        peaks.append(first + int(response[first : first + width].abs().argmax()))
        energy[max(0, first - width) : first + 2 * width] = 0
    return peaks


def _sums(peaks: list[int]) -> list[int]:
    """Sums of two, three or four of the peaks' delays, the shortest first."""
    two = {a + b for a in peaks for b in peaks}
    three = {a + b for a in two for b in peaks}
    return sorted(two | three | {a + b for a in two for b in two})
