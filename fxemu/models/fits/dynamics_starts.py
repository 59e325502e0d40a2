"""Chains of followers to begin a fit with, time constants in samples (at 44.1 kHz)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fxemu.models.fits.dynamics_chain import DETECTOR_DOWN, KEY, KEY_RATES, KNEES, SLOW, SLOW_RATES, UNIT_DB
from fxemu.models.fits.dynamics_steps import AT_ONCE

# Of what is reduced, or of its envelope, on the way down.
RELEASES = (900.0, 4000.0, 20_000.0)
# Where the key's low-passes may begin, time constants and weights: as dry itself, nearly, and as high-passes of two
# poles (120 and 200 Hz, 1.2 and 2 kHz).
KEY_SAMPLES = 47.0, 3.5
KEYS = ((KEY_SAMPLES, (-0.01, -0.01)), ((58.5, 35.1), (1.5, -2.5)), ((5.85, 3.51), (1.5, -2.5)))
# Where a key that is a band begins, as gates have: between these time constants, and this much above dry itself.
BANDS, BAND_GAIN = ((58.5, 14.0), (14.0, 3.5), (58.5, 3.5)), 10.0
# Where a slow part of the reduction begins, as optical compressors have: up in half a second, down in two.
SLOW_SAMPLES, SLOW_WEIGHT = (22_050.0, 88_200.0), 0.1


def logit(samples: float) -> float:
    """The logit of the rate of a time constant in samples: 1 - e^(-1/samples) of the distance in a sample."""
    return math.log(-math.expm1(-1 / samples)) + 1 / samples


def start(
    knees: int,
    hold: tuple[float, float],
    smoothing: float,
    loop: float = 0.0,
    makeup: float = 0.0,
    envelope: tuple[float, float] | None = None,
) -> NDArray:
    """Parameters to begin with (P,): an instant detector of dry itself, knees from -44 dB to -4 dB.

    Args:
        knees: J.
        hold, envelope: time constants up and down, in samples; without one the envelope is |dry|.
        smoothing: its time constant, in samples.
        loop, makeup: as they are.
    """
    rates = [AT_ONCE, AT_ONCE] if envelope is None else [logit(samples) for samples in envelope]
    rates += [logit(samples) for samples in (0.2, 0.2, *hold, smoothing, smoothing, *KEY_SAMPLES)]
    curve = [*np.linspace(0.45, 0.95, knees), *[0.8 / knees * (1 - 4 * loop)] * knees]
    rates += [logit(samples) for samples in SLOW_SAMPLES]
    return np.array([*rates, loop, *np.zeros_like(KEY_SAMPLES), 0.0, *curve, makeup])


def keyed(theta: NDArray, samples: Sequence[float], weights: Sequence[float]) -> NDArray:
    """The chain with low-passes of these time constants and weights in its key."""
    with_it = theta.copy()
    with_it[KEY_RATES], with_it[KEY] = [logit(each) for each in samples], weights
    return with_it


def slowed(theta: NDArray) -> NDArray:
    """The chain with a slow part of its reduction."""
    with_it = theta.copy()
    with_it[SLOW_RATES], with_it[SLOW] = [logit(samples) for samples in SLOW_SAMPLES], SLOW_WEIGHT
    return with_it


def starts(knees: int, makeup: float, releases: Sequence[float]) -> tuple[list[NDArray], list[NDArray]]:
    """Chains to begin with, that follow the level and the amplitude, with these releases (which knobs move themselves).

    Attacks are in turn after the hold, at once, in the hold, there inside a loop; of the amplitude at once, in its
    envelope, or as slow as its release.
    """
    attacks = ((0.2, 150.0, 0.0), (0.2, 0.2, 0.0), (150.0, 0.2, 0.0), (150.0, 0.2, -1.0))
    of_level = [
        start(knees, (up, down), smoothing, loop, makeup)
        for (up, smoothing, loop), down in itertools.product(attacks, releases)
    ]
    envelopes = [*itertools.product((0.2, 100.0), releases), (2000.0, 2000.0)]
    return of_level, [start(knees, (0.2, 0.2), 0.2, 0.0, makeup, envelope) for envelope in envelopes]


def starts_in_band(knees: int, makeup: float) -> list[NDArray]:
    """Chains to begin with, that follow the amplitude of a band of dry: what holds is the gain, or the reduction."""
    begun = []
    for band, detector, hold in itertools.product(BANDS, (0.2, 400.0), ((2000.0, 0.2), (0.2, 2000.0))):
        theta = keyed(start(knees, hold, 0.2, 0.0, makeup, (0.2, 100.0)), band, (-BAND_GAIN, BAND_GAIN))
        theta[DETECTOR_DOWN] = logit(detector)
        theta[KNEES : KNEES + knees] += 20 * math.log10(BAND_GAIN) / UNIT_DB
        begun.append(theta)
    return begun
