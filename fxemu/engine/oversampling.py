"""Oversampling without training anew: a plan of N copies of another one, each on one phase of the upsampled signal.

Dry is interpolated to N times the rate. Copy n plays its samples n, n + N, n + 2N, ... and has a state of its own, with
what it feeds back; the outputs, one copy after another, are a signal of N times the rate, which is filtered and
decimated. So harmonics above half the rate are taken away before they alias, while delays and time constants stay
what they were in seconds. A copy sees dry at the rate that it was trained at: no weight changes.
"""

from __future__ import annotations

import torch
from scipy import signal
from torch import Tensor
from torch.nn import functional as F

from fxemu.engine.plan import DRY, WET, Plan, Term
from fxemu.engine.simplify import renumbered

FACTORS = (1, 2, 4, 8)
# Of both filters together, in samples at the model's rate.
LATENCY = 64
# As parts of half the rate, where the filters' passband ends and their stopband begins (19.6 kHz and 23.6 kHz at
# 44.1 kHz: what still aliases lies above the passband), and their attenuation there.
PASSED, STOPPED, STOPPED_DB = 0.89, 1.07, 90.0


def oversample(plan: Plan, factor: int) -> Plan:
    """The plan of `factor` copies of a plan between an interpolating and a decimating filter; WET is never read."""
    taps, result, copies = low_pass(factor), Plan(), []
    for phase in range(factor):
        interpolate = factor * taps[phase::factor].flip(0)
        copies.append({DRY: result.add(Term(DRY, interpolate[None, None])), WET: result.state(1)})
    # Step by step, not copy by copy, so that an engine may take the copies of a step together.
    for value, step in plan.values():
        for numbers in copies:
            numbers[value] = result.append(renumbered(step, numbers))
    for numbers in copies:
        for state, source in plan.sources.items():
            result.close(numbers[state], numbers[source])
    turns = [
        Term(numbers[plan.last], turn[:, None, None]) for numbers, turn in zip(copies, torch.eye(factor), strict=True)
    ]
    # Row i, column n meets what copy n made i samples ago: i * factor - n samples of the upsampled signal.
    decimate = F.pad(taps, (factor - 1, 0)).view(-1, factor).flip(0, 1)
    result.params = result.add(Term(result.add(*turns), decimate.T[None].contiguous()))
    result.close(WET, result.last)
    return result


def low_pass(factor: int) -> Tensor:
    """The low-pass filter at `factor` times the rate, (LATENCY * factor + 1,): a sinc in a Kaiser window, of gain 1.

    It passes `PASSED` of half the rate within 0.001 dB.
    """
    window = "kaiser", signal.kaiser_beta(STOPPED_DB)
    return torch.from_numpy(signal.firwin(LATENCY * factor + 1, (PASSED + STOPPED) / 2 / factor, window=window)).float()
