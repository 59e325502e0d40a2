"""Gaps in a recorded wet: dropouts of an interface, or silence that the effect itself makes.

A gate or a crossover is silent where dry is quiet, and a chopper at regular intervals; an interface drops out anywhere.

Shapes: N samples of dry, M of wet.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from fxemu.library.recordings.alignment import Alignment

Gap = tuple[int, int]
Cause = Literal["level", "period", "interface"]
DROPOUT_S, EDGE_S = 0.002, 0.1  # least: amid music; at the ends of a recording, where it began late or ended early
LOUD, PLAYING = 0.01, 0.1  # of dry's peak; share of the samples beyond it, where dry plays
FEW, QUIETEST, QUIET = 3, 0.1, 0.3  # gaps of which each must be quieter than a tenth of dry; else half than this share
LOWER, WINDOWS = 0.7, (100, 250, 500, 1000, 2000, 4000)  # share of the gaps quieter than around them; samples
MOST_LOST = 1 / 3  # of a recording: no interface drops out for longer
REGULAR, SAME = 0.8, 0.05  # share of the intervals that are the same, to this share


def gaps(dry: Tensor, wet: Tensor, alignment: Alignment, sample_rate: int) -> list[Gap]:
    """Stretches (first, end) in samples of dry where wet is digital silence for 2 ms or more amid loud music."""
    found, loud = [], dry.abs() > LOUD * dry.abs().max()
    for first, end in _zeros(wet):
        around = torch.cat((wet[max(0, first - 1000) : first], wet[end : end + 1000]))
        if end - first < DROPOUT_S * sample_rate or around.numel() < 1500 or float(around.abs().mean()) < 1e-3:
            continue
        found += _while_dry_plays(loud, first, end, alignment)
    return found


def _zeros(wet: Tensor) -> Iterator[Gap]:
    """Runs (first, end) of zeros, in samples of wet."""
    zero = torch.nn.functional.pad((wet == 0).to(torch.int8), (1, 1)).diff()
    return zip((zero == 1).nonzero()[:, 0].tolist(), (zero == -1).nonzero()[:, 0].tolist(), strict=True)


def _while_dry_plays(loud: Tensor, first: int, end: int, alignment: Alignment) -> list[Gap]:
    """A run in samples of wet as one of dry, if dry plays in it; else none. `loud` (N,): where dry is loud."""
    start, stop = (
        round((place - alignment.delay_samples) / (1 + alignment.drift_ppm * 1e-6)) for place in (first, end)
    )
    start, stop = max(0, start), min(stop, loud.numel())
    plays = start < stop and float(loud[start:stop].float().mean()) > PLAYING
    return [(start, stop)] if plays else []


def cause_of(found: list[Gap], dry: Tensor) -> Cause:
    """The cause of gaps: dry's level, a period, or neither, so that the interface made them."""
    if not found:
        return "interface"
    if len(found) > FEW:
        intervals = np.array([later[0] - sooner[0] for sooner, later in pairwise(found)])
        if np.mean(np.abs(intervals / np.median(intervals) - 1) < SAME) > REGULAR:
            return "period"
        if sum(end - first for first, end in found) > MOST_LOST * dry.numel():
            return "level"
    size = max(1, int(np.median([end - first for first, end in found])))
    levels = np.sort(np.median(np.abs(dry.numpy()[: dry.numel() // size * size]).reshape(-1, size), 1))
    inside = [float(dry[first:end].abs().median()) for first, end in found]
    ranks = np.searchsorted(levels[levels > 0], inside) / max(1, int((levels > 0).sum()))
    if len(found) < FEW:
        return "level" if np.max(ranks) < QUIETEST else "interface"
    beyond_chance = max(LOWER, 0.5 + 1.5 / len(found) ** 0.5)
    return "level" if np.median(ranks) < QUIET or _quieter_than_around(found, dry) > beyond_chance else "interface"


def _quieter_than_around(found: list[Gap], dry: Tensor) -> float:
    """The share of gaps in which dry's level is lower than just before and after, half by chance: the largest share
    that levels over some window show, as an effect's own detector has one."""
    total = np.pad(np.cumsum(dry.abs().double().numpy()), (1, 0))
    first, end = np.array(found).T

    def level(place: np.ndarray, window: int) -> np.ndarray:
        low, high = (np.clip(place + shift, 0, dry.numel()) for shift in (-window // 2, window // 2))
        return (total[high] - total[low]) / np.maximum(high - low, 1)

    shares = []
    for window in WINDOWS:
        side = np.maximum((end - first) // 2, window // 4)
        around = (level(first - side, window) + level(end + side, window)) / 2
        shares.append(float(np.mean(level((first + end) // 2, window) < around)))
    return max(shares)


def missing_ends(dry: Tensor, wet: Tensor, alignment: Alignment, sample_rate: int) -> list[Gap]:
    """Stretches (first, end) in samples of dry that were not recorded: digital silence before and after all of wet.

    None if the effect makes gaps as well, of which these may be.
    """
    edges = [(first, end) for first, end in _zeros(wet) if first == 0 or end == wet.numel()]
    long = [(first, end) for first, end in edges if end - first > EDGE_S * sample_rate]
    loud = dry.abs() > LOUD * dry.abs().max()
    ends = [gap for edge in long for gap in _while_dry_plays(loud, *edge, alignment)]
    return ends if ends and cause_of(gaps(dry, wet, alignment, sample_rate), dry) == "interface" else []


def dropouts(dry: Tensor, wet: Tensor, alignment: Alignment, sample_rate: int) -> list[Gap]:
    """The gaps that the interface made, and the ends that were not recorded, in order."""
    found = gaps(dry, wet, alignment, sample_rate)
    ends = missing_ends(dry, wet, alignment, sample_rate)
    return sorted([*ends, *(found if cause_of(found, dry) == "interface" else [])])
