"""Compressor, limiter, expander and gate: gains that follow the level in decibels.

After Giannoulis, Massberg & Reiss, "Digital dynamic range compressor design" (2012), whose equations are cited.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d
from torch import Tensor

from fxemu.effects.base import Effect
from fxemu.effects.envelope import SETTLED, coefficient, follow_peaks, level_db
from fxemu.errors import check_choice, check_range


class Compressor(Effect):
    """A compressor: above the threshold the level rises by 1 dB for each `ratio` dB of dry.

    Args:
        threshold_db: -60 to 0 dB of full scale.
        ratio: 1 to 20.
        attack_ms: until 63 % of a gain reduction is reached, 0.1 to 200 ms.
        release_ms: until 37 % of it is left, 5 to 2000 ms.
        knee_db: width of the bend around the threshold, 0 (hard) to 24 dB.
        makeup_db: gain after compression, -12 to 36 dB.
        detector: input (feed-forward) or output (feedback: it measures its own wet signal).
    """

    def __init__(
        self,
        threshold_db: float | Tensor = -24.0,
        ratio: float | Tensor = 4.0,
        attack_ms: float = 5.0,
        release_ms: float = 80.0,
        knee_db: float = 6.0,
        makeup_db: float | Tensor = 0.0,
        detector: str = "input",
    ) -> None:
        check_range("threshold_db", threshold_db, -60, 0, "dB")
        check_range("ratio", ratio, 1, 20)
        check_range("attack_ms", attack_ms, 0.1, 200, "ms")
        check_range("release_ms", release_ms, 5, 2000, "ms")
        check_range("knee_db", knee_db, 0, 24, "dB")
        check_range("makeup_db", makeup_db, -12, 36, "dB")
        check_choice("detector", detector, ("input", "output"))
        self.threshold_db, self.ratio, self.makeup_db = map(np.asarray, (threshold_db, ratio, makeup_db))
        self.knee_db = knee_db
        self.detects_output = detector == "output"
        self.tracked = "threshold_db", "makeup_db", *(() if self.detects_output else ("ratio",))
        self.attack_s, self.release_s = attack_ms / 1000, release_ms / 1000
        # In the knee the loop is half open, and its detector slower by up to the ratio.
        self.memory_s = SETTLED * (self.attack_s * (ratio if self.detects_output else 1) + self.release_s)

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        attack, release = (coefficient(time_s, sample_rate) for time_s in (self.attack_s, self.release_s))
        over_db = level_db(dry) - self.threshold_db
        if self.detects_output:
            # Closing the loop makes it quicker by the ratio: the detector is made slower by as much.
            attack = 1 - (1 - attack) / self.ratio
            reduction_db = feedback_reduction(over_db, self.knee_db, self.ratio - 1, attack, release)
        else:
            wanted_db = (1 - 1 / self.ratio) * soft_knee(over_db, self.knee_db)
            reduction_db = follow_peaks(wanted_db, attack, release, 0.0)
        return _amplified(dry, self.makeup_db - reduction_db)


@njit(cache=True)
def soft_knee(over_db, knee_db: float):
    """max(0, over_db), rounded by a parabola within half a knee of 0 (equation 4)."""
    inside = np.minimum(np.maximum(over_db + knee_db / 2, 0.0), knee_db)
    return np.maximum(over_db - knee_db / 2, 0.0) + inside * inside / max(2 * knee_db, 1e-9)


@njit(cache=True)
def feedback_reduction(over_db: NDArray, knee_db: float, slope: float, attack: float, release: float) -> NDArray:
    """Gain reduction (samples,) in dB from the level of wet, that is of dry less the reduction one sample before.

    The smooth branching detector (equation 16): one that holds peaks would make the loop swing.
    """
    reduction_db = np.empty_like(over_db)
    average = 0.0
    for n in range(over_db.size):
        wanted_db = slope * soft_knee(over_db[n] - average, knee_db)
        kept = attack if wanted_db > average else release
        average = kept * average + (1 - kept) * wanted_db
        reduction_db[n] = average
    return reduction_db


class Limiter(Effect):
    """A limiter: gain, then a ceiling that no sample exceeds, by an instant attack in place of look-ahead.

    Args:
        gain_db: before the limiter, 0 to 40 dB.
        ceiling_db: -40 to 0 dB of full scale.
        release_ms: until 37 % of a gain reduction is left, 5 to 2000 ms.
    """

    def __init__(self, gain_db: float = 12.0, ceiling_db: float = -3.0, release_ms: float = 60.0) -> None:
        check_range("gain_db", gain_db, 0, 40, "dB")
        check_range("ceiling_db", ceiling_db, -40, 0, "dB")
        check_range("release_ms", release_ms, 5, 2000, "ms")
        self.gain_db, self.ceiling_db, self.release_s = gain_db, ceiling_db, release_ms / 1000
        self.memory_s = SETTLED * self.release_s

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        excess_db = np.maximum(level_db(dry) + self.gain_db - self.ceiling_db, 0.0)
        reduction_db = follow_peaks(excess_db, 0.0, coefficient(self.release_s, sample_rate), 0.0)
        return _amplified(dry, self.gain_db - reduction_db)


class DownwardEffect(Effect):
    """Base of expander and gate: attenuation below a threshold, with attack, hold and release."""

    def __init__(
        self, threshold_db: float, range_db: float, attack_ms: float, hold_ms: float, release_ms: float
    ) -> None:
        check_range("threshold_db", threshold_db, -80, 0, "dB")
        check_range("range_db", range_db, 0, 80, "dB")
        check_range("attack_ms", attack_ms, 0.1, 200, "ms")
        check_range("hold_ms", hold_ms, 1, 500, "ms")
        check_range("release_ms", release_ms, 5, 2000, "ms")
        self.threshold_db, self.range_db = threshold_db, range_db
        self.attack_s, self.hold_s, self.release_s = attack_ms / 1000, hold_ms / 1000, release_ms / 1000
        self.memory_s = SETTLED * (self.attack_s + self.release_s) + self.hold_s

    @abstractmethod
    def gain_db(self, level_db: NDArray) -> NDArray:
        """The static curve: gain in dB, 0 to -range_db, for a level in dB."""

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        size = max(1, round(self.hold_s * sample_rate))
        held_db = maximum_filter1d(level_db(dry), size, origin=(size - 1) // 2, mode="nearest")
        attack, release = (coefficient(time_s, sample_rate) for time_s in (self.attack_s, self.release_s))
        return _amplified(dry, follow_peaks(self.gain_db(held_db), attack, release, -self.range_db))


class Expander(DownwardEffect):
    """An expander: below the threshold the level falls by `ratio` dB for each dB of dry, down to a floor.

    Args:
        threshold_db: -80 to 0 dB of full scale.
        ratio: 1 to 20.
        range_db: the largest attenuation, 0 to 80 dB.
        attack_ms: opening, 0.1 to 200 ms.
        hold_ms: for which a peak counts, so that the gain does not follow each wave, 1 to 500 ms.
        release_ms: closing, 5 to 2000 ms.
    """

    def __init__(
        self,
        threshold_db: float = -30.0,
        ratio: float = 2.0,
        range_db: float = 40.0,
        attack_ms: float = 2.0,
        hold_ms: float = 10.0,
        release_ms: float = 100.0,
    ) -> None:
        super().__init__(threshold_db, range_db, attack_ms, hold_ms, release_ms)
        check_range("ratio", ratio, 1, 20)
        self.ratio = ratio

    def gain_db(self, level_db: NDArray) -> NDArray:
        return np.maximum((self.ratio - 1) * np.minimum(level_db - self.threshold_db, 0.0), -self.range_db)


class Gate(DownwardEffect):
    """A gate: open above the threshold, and below it closed to an attenuation of `range_db`.

    Args:
        threshold_db: -80 to 0 dB of full scale.
        range_db: attenuation when closed, 0 to 80 dB.
        attack_ms: opening, 0.1 to 200 ms.
        hold_ms: stays open after the last peak above the threshold, 1 to 500 ms.
        release_ms: closing, 5 to 2000 ms.
    """

    def __init__(
        self,
        threshold_db: float = -40.0,
        range_db: float = 60.0,
        attack_ms: float = 1.0,
        hold_ms: float = 20.0,
        release_ms: float = 100.0,
    ) -> None:
        super().__init__(threshold_db, range_db, attack_ms, hold_ms, release_ms)

    def gain_db(self, level_db: NDArray) -> NDArray:
        return np.where(level_db < self.threshold_db, -self.range_db, 0.0)


def _amplified(dry: Tensor, gain_db: NDArray) -> Tensor:
    """Dry (samples,) with a gain (samples,) in dB."""
    return dry * torch.from_numpy(10 ** (gain_db / 20))
