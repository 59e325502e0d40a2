"""When to do what in training: stages of teacher forcing and of ever longer rollouts, and the learning rate.

Everything follows `progress`, from 0 to 1: the share of the steps done or of the time used, whichever is further.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """A stretch of training.

    Args:
        share: of the whole, above 0; the shares of all stages add up to 1.
        length: predictions in a segment, K.
        free: True for rollouts through the predictor's own output, False for teacher forcing.
        noise: teacher forcing only: the largest standard deviation of Gaussian noise on the wet features. Each
            segment draws its own, log-uniform over a factor of 300 below that; a quarter of them stay clean.
    """

    share: float
    length: int
    free: bool
    noise: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1 or self.length < 1 or not 0 <= self.noise <= 1:
            raise ValueError(
                f"training stage: got share {self.share}, length {self.length}, noise {self.noise}; "
                "allowed are 0 < share <= 1, length >= 1, 0 <= noise <= 1"
            )


class Schedule:
    """Stages, and a learning rate that warms up and falls along a cosine.

    Args:
        stages: mappings with the arguments of `Stage`, in order.
        steps: optimizer steps in all.
        learning_rate: the highest.
        final_share: of the learning rate that is left at the end, 0 to 1.
        warm_up_steps: over which it rises from 0.
        clip: largest norm of the gradient; larger ones are scaled down to it.
    """

    def __init__(
        self,
        stages: Iterable[Mapping[str, float]],
        steps: int = 7000,
        learning_rate: float = 3e-3,
        final_share: float = 0.005,
        warm_up_steps: int = 100,
        clip: float = 1.0,
    ) -> None:
        self.stages = [Stage(**stage) for stage in stages]
        total = sum(stage.share for stage in self.stages)
        if not math.isclose(total, 1, abs_tol=1e-6):
            raise ValueError(f"training.stages: got shares that add up to {total:g}; they must add up to 1")
        if steps < 1 or not learning_rate > 0 or not 0 <= final_share <= 1 or not clip > 0:
            raise ValueError("training: steps must be at least 1, learning_rate and clip above 0, final_share 0 to 1")
        self.steps, self.peak, self.final_share = steps, learning_rate, final_share
        self.warm_up_steps, self.clip = warm_up_steps, clip

    def longest(self) -> int:
        """The longest segment that any stage asks for, in predictions."""
        return max(stage.length for stage in self.stages)

    def stage(self, progress: float) -> Stage:
        end = 0.0
        for stage in self.stages:
            end += stage.share
            if progress < end:
                return stage
        return self.stages[-1]

    def learning_rate(self, step: int, progress: float) -> float:
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        warm = min(1.0, (step + 1) / self.warm_up_steps) if self.warm_up_steps else 1.0
        return self.peak * warm * (self.final_share + (1 - self.final_share) * cosine)
