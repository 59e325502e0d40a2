"""Silence in recordings: where neither side sounds, which is neither trained nor scored on.

Shapes: N samples of an aligned pair.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fxemu.library.pair import Pair
from fxemu.library.recordings.gaps import Gap

BLOCK = 1024
# Quieter than this share of a side's peak is silence: 60 dB and 50 dB; wet also where it is near its noise.
DRY_SHARE, WET_SHARE, NOISE_FACTOR = 1e-3, 3e-3, 2.0
BEFORE_S, AFTER_S, LONGEST_S = 0.5, 0.5, 2.0  # of silence: kept before and after sound; kept whole between sounds


def sounding(pair: Pair) -> Tensor:
    """Mask (N,) of the samples with sound: dry within 60 dB of its peak, or wet within 50 dB and above its noise."""
    dry, wet = _peaks(pair.dry), _peaks(pair.wet)
    if not dry.numel():
        return torch.zeros(0, dtype=torch.bool)
    driven = dry > DRY_SHARE * dry.max()
    noise = wet[~driven].quantile(0.25) if (~driven).any() else wet.new_zeros(())
    sounds = driven | (wet > torch.maximum(WET_SHARE * wet.max(), NOISE_FACTOR * noise))
    return sounds.repeat_interleave(BLOCK)[: pair.dry.numel()]


def _peaks(x: Tensor) -> Tensor:
    """The largest magnitude of each block of (N,): (blocks,)."""
    return F.pad(x.abs().float(), (0, -x.numel() % BLOCK)).view(-1, BLOCK).amax(1)


def silences(pair: Pair, sample_rate: int) -> list[Gap]:
    """Stretches to leave out, in samples: silence at its ends, and long silence, but a little around sound."""
    steps = F.pad(sounding(pair).to(torch.int8), (1, 1), value=1).diff()
    runs = zip((steps == -1).nonzero()[:, 0].tolist(), (steps == 1).nonzero()[:, 0].tolist(), strict=True)
    before, after, found = int(BEFORE_S * sample_rate), int(AFTER_S * sample_rate), []
    for first, end in runs:
        at_start, at_end = first == 0, end == pair.dry.numel()
        if at_start and at_end:
            # Nothing sounds at all, which others refuse.
            return []
        if at_start or at_end or end - first > LONGEST_S * sample_rate:
            gap = (first if at_start else first + after, end if at_end else end - before)
            found += [gap] if gap[0] < gap[1] else []
    return found
