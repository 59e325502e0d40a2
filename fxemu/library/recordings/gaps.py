"""Gaps in a recorded wet: dropouts of an interface, or silence that the effect itself makes.

A gate or a crossover is silent where dry is quiet, and a chopper at regular intervals; an interface drops out anywhere.

Shapes: N samples of dry, M of wet.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from fxemu.library.recordings.alignment import Alignment

Gap = tuple[int, int]
Cause = Literal["level", "period", "interface"]
DROPOUT_S = 0.002
FEW, QUIETEST, QUIET = 3, 0.1, 0.3  # gaps of which each must be quieter than a tenth of dry; else half than this share
REGULAR, SAME = 0.8, 0.05  # share of the intervals that are the same, to this share


def gaps(dry: Tensor, wet: Tensor, alignment: Alignment, sample_rate: int) -> list[Gap]:
    """Stretches (first, end) in samples of dry where wet is digital silence for 2 ms or more amid loud music."""
    zero = torch.nn.functional.pad((wet == 0).to(torch.int8), (1, 1)).diff()
    found, loud = [], 0.01 * float(dry.abs().max())
    for first, end in zip((zero == 1).nonzero()[:, 0].tolist(), (zero == -1).nonzero()[:, 0].tolist(), strict=True):
        around = torch.cat((wet[max(0, first - 1000) : first], wet[end : end + 1000]))
        if end - first < DROPOUT_S * sample_rate or around.numel() < 1500 or float(around.abs().mean()) < 1e-3:
            continue
        start, stop = (
            round((place - alignment.delay_samples) / (1 + alignment.drift_ppm * 1e-6)) for place in (first, end)
        )
        stop = min(stop, dry.numel())
        if 0 <= start < stop and float(dry[start:stop].abs().amax()) > loud:
            found.append((start, stop))
    return found


def cause_of(found: list[Gap], dry: Tensor) -> Cause:
    """What the gaps follow: dry's level, a period, or neither, so that the interface made them."""
    if not found:
        return "interface"
    if len(found) > FEW:
        intervals = np.array([later[0] - sooner[0] for sooner, later in pairwise(found)])
        if np.mean(np.abs(intervals / np.median(intervals) - 1) < SAME) > REGULAR:
            return "period"
    size = max(1, int(np.median([end - first for first, end in found])))
    levels = np.sort(np.median(np.abs(dry.numpy()[: dry.numel() // size * size]).reshape(-1, size), 1))
    inside = [float(dry[first:end].abs().median()) for first, end in found]
    ranks = np.searchsorted(levels[levels > 0], inside) / max(1, int((levels > 0).sum()))
    quiet = np.max(ranks) < QUIETEST if len(found) < FEW else np.median(ranks) < QUIET
    return "level" if quiet else "interface"


def dropouts(dry: Tensor, wet: Tensor, alignment: Alignment, sample_rate: int) -> list[Gap]:
    """The gaps that the interface made, in order."""
    found = gaps(dry, wet, alignment, sample_rate)
    return found if cause_of(found, dry) == "interface" else []
