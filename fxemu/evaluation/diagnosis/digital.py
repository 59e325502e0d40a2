"""Samples that are held or rounded: a bitcrusher, in words."""

from __future__ import annotations

import math

from torch import Tensor

from fxemu.evaluation.diagnosis.explanation import Explanation

HELD = 0.4  # share of samples equal to the one before, while dry moves, from which they are held
FEW = 2000  # distinct values up to which they are rounded


def explain_by_digits(dry: Tensor, wet: Tensor, skip: int, sample_rate: int) -> Explanation | None:
    """A lower sample rate, without a filter, and fewer bits; None where wet moves as dry does, in small steps."""
    x, y = dry[skip:], wet[skip:]
    moving = x.diff().abs() > 1e-3 * x.abs().max()
    held = float((y.diff()[moving] == 0).double().mean()) if moving.any() else 0.0
    values = y.unique()
    if held < HELD or len(values) > FEW:
        return None
    rate_hz, step = sample_rate * (1 - held), float(values.diff().min())
    bits = math.log2(2 / step)
    words = f"a bitcrusher: {rate_hz:.0f} samples a second, about {bits:.0f} bits"
    # What is rounded cannot be less than its step's noise.
    noise = step**2 / 12 / float(y.square().mean())
    return Explanation("digital", words, min(noise, 1.0), {"rate_hz": rate_hz, "bits": bits})
