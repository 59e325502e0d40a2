"""Stages of training, teacher forced and of ever longer rollouts, and the learning-rate schedule.

Everything follows `progress`, from 0 to 1: the share of the steps done or of the time used, whichever is further.
"""

from __future__ import annotations

import itertools
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
        lead: rollouts only: samples that the predictor runs on its own before those K, without gradient (pushforward:
            Brandstetter et al. 2022, "Message passing neural PDE solvers").
        chunks: rollouts only: how many follow each other in a segment, an optimizer step each (truncated
            backpropagation through time), hidden states carried from one to the next.
        noise: the largest standard deviation of Gaussian noise on the true wet samples of the history, where the input
            representation compands them (full scale is 1): in teacher forcing all, in rollouts those before the first
            chunk, to be forgotten. Each segment draws its own, log-uniform over a factor of 300 below that; a quarter
            of them stay clean.
        drop_history: teacher forcing only: the share of segments with silence in place of the true wet samples, so that
            a predictor with a state of its own learns to use that instead (as the history of a language model is
            dropped in Bowman et al. 2016, "Generating sentences from a continuous space"; theirs word by word).
    """

    share: float
    length: int
    free: bool
    noise: float = 0.0
    lead: int = 0
    chunks: int = 1
    drop_history: float = 0.0

    def __post_init__(self) -> None:
        for name in ("length", "lead", "chunks"):
            if not isinstance(getattr(self, name), int):
                raise ValueError(f"training stage: got {name} {getattr(self, name)!r}; must be a whole number")
        if not 0 < self.share <= 1 or self.length < 1 or not 0 <= self.noise <= 1:
            raise ValueError(
                f"training stage: got share {self.share}, length {self.length}, noise {self.noise}; "
                "allowed are 0 < share <= 1, length >= 1, 0 <= noise <= 1"
            )
        if self.lead < 0 or self.chunks < 1:
            raise ValueError(
                f"training stage: got lead {self.lead}, chunks {self.chunks}; allowed are lead >= 0, chunks >= 1"
            )
        if not 0 <= self.drop_history <= 1 or (self.free and self.drop_history):
            raise ValueError(
                f"training stage: got drop_history {self.drop_history}, free {self.free}; "
                "allowed are 0 <= drop_history <= 1, without free"
            )
        if not self.free and (self.lead or self.chunks > 1):
            raise ValueError("training stage: lead and chunks are for rollouts (free: true)")

    @property
    def samples(self) -> int:
        """Predictions in a segment, all chunks and the lead included."""
        return self.lead + self.chunks * self.length


class Schedule:
    """Stages, and a learning rate that warms up and falls along a cosine.

    Args:
        stages: mappings with the arguments of `Stage`, in order.
        steps: optimizer steps in all; 0 for none.
        learning_rate: the highest.
        final_share: of the learning rate that is left at the end, 0 to 1.
        warm_up_steps: over which it rises from 0; 0 for none.
        clip: largest norm of the gradient; larger ones are scaled down to it.
    """

    def __init__(
        self,
        stages: Iterable[Mapping[str, float]],
        steps: int = 12_000,
        learning_rate: float = 3e-3,
        final_share: float = 0.005,
        warm_up_steps: int = 100,
        clip: float = 1.0,
    ) -> None:
        self.stages = [Stage(**stage) for stage in stages]
        total = sum(stage.share for stage in self.stages)
        if not math.isclose(total, 1, abs_tol=1e-6):
            raise ValueError(f"training.stages: got shares that add up to {total:g}; they must add up to 1")
        if min(steps, warm_up_steps) < 0 or not learning_rate > 0 or not 0 <= final_share <= 1 or not clip > 0:
            raise ValueError(
                f"training: got steps {steps}, warm_up_steps {warm_up_steps}, learning_rate {learning_rate}, "
                f"final_share {final_share}, clip {clip}; allowed are 0 or more, 0 or more, above 0, 0 to 1, above 0"
            )
        self.steps, self.peak, self.final_share = steps, learning_rate, final_share
        self.warm_up_steps, self.clip = warm_up_steps, clip

    def longest(self) -> int:
        """The longest segment that any stage asks for, in predictions."""
        return max(stage.samples for stage in self.stages)

    def stage(self, progress: float) -> Stage:
        end = 0.0
        for stage in self.stages:
            end += stage.share
            if progress < end:
                return stage
        return self.stages[-1]

    def bounds(self, progress: float) -> tuple[float, float]:
        """Beginning and end of the stage at a progress, as shares of the whole."""
        ends = list(itertools.accumulate(stage.share for stage in self.stages))
        number = next((i for i, end in enumerate(ends) if progress < end), len(ends) - 1)
        return (ends[number - 1] if number else 0.0), ends[number]

    def learning_rate(self, step: int, progress: float) -> float:
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        warm = min(1.0, (step + 1) / self.warm_up_steps) if self.warm_up_steps else 1.0
        return self.peak * warm * (self.final_share + (1 - self.final_share) * cosine)
