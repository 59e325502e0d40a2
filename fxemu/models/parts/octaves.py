"""The level of dry over octave-spaced windows: seconds of context at the cost of two multiply-adds an octave.

Given twice: for tensors, and as steps of a plan.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fxemu.engine.activations import activate
from fxemu.engine.plan import Activation, Plan, Product, Term

# Of mean squares: from -80 dB (0) to full scale (1), a logarithm with a floor, which a compander is.
LEVEL = Activation("mulaw_compress", 1e8)
# The shortest window is of 2^3 samples.
SHORTEST = 3


def octave_levels(dry: Tensor, longest: int, samples: int) -> Tensor:
    """Mean squares of dry (B, 1, T) over its last 8, 16 .. 2^longest samples, as levels: the last (B, K, samples).

    T must be at least samples + 2^longest - 1.
    """
    seen = dry[..., dry.shape[-1] - samples - (1 << longest) + 1 :]
    # In double: the difference of two sums of as much as a second of audio.
    total = F.pad(seen.double().square().cumsum(-1), (1, 0))
    until, size = total[..., -samples:], total.shape[-1]
    windows = [1 << octave for octave in range(SHORTEST, longest + 1)]
    means = [(until - total[..., size - samples - n : size - n]) / n for n in windows]
    return activate(torch.cat(means, dim=1).to(dry.dtype).clamp_min(0), LEVEL)


def plan_octave_levels(plan: Plan, dry: int, longest: int, like: Tensor) -> list[int]:
    """`octave_levels` as values of a plan, one a window, each twice as long as the one before; device of `like`."""
    half = like.new_full((1, 1, 2), 0.5)
    mean = plan.mix(Product((dry, dry)))
    levels = []
    for octave in range(longest):
        mean = plan.add(Term(mean, half, dilation=1 << octave))
        if octave + 1 >= SHORTEST:
            levels.append(plan.mix(Product((mean,)), activation=LEVEL))
    return levels
