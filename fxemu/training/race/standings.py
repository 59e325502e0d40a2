"""Standings of a race: the result of each candidate in each round, the finalist, and the winner."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from omegaconf import DictConfig

from fxemu.data.module import SongData
from fxemu.evaluation.scores import RaceRow, RaceScores
from fxemu.files import write_whole
from fxemu.training.callbacks import KeepCurve
from fxemu.training.durations import seconds_of, time_of
from fxemu.training.module import TrainingModule
from fxemu.training.parts import build, build_parts
from fxemu.training.race.candidates import Candidate, of_trained_weights
from fxemu.training.race.heat import BEST, INAUDIBLE, Common, Result, place_of

# The share of the time that is left to the last training in any case.
LEAST_SHARE = 0.2
# The factor by which a network's error, over what it explains, must be below a fit's for it to win: a fit has few
# numbers, and on audio of another kind than was validated on it does as well; a network does worse.
CLEAR = 1.5
# The least of wet's energy that counts as explained.
LEAST_EXPLAINED = 1e-3
# What a fit that moves by itself leaves at most of what other fits do, where no network is tried: on two phasers, a
# flanger and two rotary speakers of other makers it left 0.04 to 0.16, and no network came near it.
MOVES = 0.25


@dataclass
class Race:
    """A race in a run folder: its candidates, what they reached, and who trains on.

    Args:
        folder: of the run.
        candidates: by name.
        max_time: of the whole run.
        rounds: the share of the training that each candidate gets in each of them.
        within: the factor over the least expected error within which a candidate stays after two rounds.
        absent: why others cannot take part, by name.
        results: of all rounds so far.
        seconds: that it took.
        received: the signal by which it was interrupted (None: it was not).
        common: what the candidates share (None: it was held by an earlier start).
    """

    folder: Path
    candidates: dict[str, Candidate]
    max_time: str | None
    rounds: Sequence[float]
    within: float
    absent: dict[str, str] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    seconds: float = 0.0
    received: int | None = None
    common: Common | None = None

    def best(self) -> Result | None:
        """The result of the least error of all, those of networks weighed against fits; the first of equals."""
        reached = [result for result in self.results if math.isfinite(result.esr)]
        return min(reached, key=lambda result: self._weighed(result.name, result.esr), default=None)

    def _weighed(self, name: str, esr: float) -> float:
        """An error by which all candidates compare: the energy that is left over that which is explained."""
        left = max(esr, INAUDIBLE)
        return left / max(1 - left, LEAST_EXPLAINED) * (1.0 if self.candidates[name].closed_form else CLEAR)

    def least(self) -> float:
        """The least error of all; infinity if there is none."""
        best = self.best()
        return math.inf if best is None else best.esr

    def moves(self) -> bool:
        """Whether the effect moves by itself: a fit that does leaves far less than those that do not."""
        left = {moving: math.inf for moving in (True, False)}
        for result in self.results:
            moving = self.candidates[result.name].kind == "moving"
            left[moving] = min(left[moving], result.esr)
        return left[True] <= MOVES * left[False] < math.inf

    def results_of(self, name: str) -> list[Result]:
        """Results of a candidate, round by round."""
        return [result for result in self.results if result.name == name]

    def has_reached(self, name: str | None) -> bool:
        """Whether a candidate has a result that is not a failure."""
        return any(math.isfinite(result.esr) for result in self.results if result.name == name)

    def expected(self, name: str) -> float:
        """The error to expect of a candidate's whole training: what it has, over the factor that it may still fall by.

        That is its promise, or less where its last round brought little: what is left of the power law of error over
        time through its last two results.
        """
        errors = [result.esr for result in self.results_of(name)]
        if not errors or not math.isfinite(errors[-1]):
            return math.inf
        factor = self.candidates[name].promise
        if len(errors) > 1:
            before, now = sum(self.rounds[: len(errors) - 1]), sum(self.rounds[: len(errors)])
            factor = min(factor, (errors[-2] / errors[-1]) ** (math.log(1 / now) / math.log(now / before)))
        return max(errors[-1], INAUDIBLE) / max(1.0, factor)

    def finalist(self) -> Result | None:
        """The last result of the candidate that trains on: the one of which the least error is to be expected.

        It is a fit, or one of those that came as far as any: what one that was left behind had promised was never seen.
        """
        reached = [result for result in self.results if math.isfinite(result.esr)]
        furthest = max((result.round for result in reached), default=0)
        standing = [result for result in reached if result.round in (0, furthest)]
        return min(standing, key=lambda result: self.expected(result.name), default=None)

    def better_half(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Candidates of the next round: the better half of each kind, without those that can hardly win."""
        chosen = []
        for kind in dict.fromkeys(candidate.kind for candidate in candidates):
            alike = [c for c in candidates if c.kind == kind and math.isfinite(self.expected(c.name))]
            alike.sort(key=lambda candidate: self.expected(candidate.name))
            chosen += alike[: math.ceil(len(alike) / 2)]
        return self._promising(chosen)

    def _promising(self, candidates: list[Candidate]) -> list[Candidate]:
        """Candidates that may yet get below the least error, and after two rounds near the least to be expected."""
        expected = {candidate.name: self.expected(candidate.name) for candidate in candidates}
        most = self.least()
        if all(len(self.results_of(name)) > 1 for name in expected):
            most = min([most, *(self.within * error for error in expected.values())])
        return [candidate for candidate in candidates if expected[candidate.name] <= most]

    def final_config(self, finalist: Result) -> DictConfig:
        """The finalist's config for what is left of the time."""
        config = of_trained_weights(self.candidates[finalist.name].config)
        left = seconds_of(self.max_time) - self.seconds
        config.trainer.max_time = time_of(max(left, LEAST_SHARE * seconds_of(self.max_time)))
        return config

    def hand_over(self, data: SongData, module: TrainingModule, curve: KeepCurve) -> None:
        """Let the finalist's training begin where it ended in the race; fits begin anew, with all of the songs."""
        if self.common.data.source.in_memory:
            self.common.give(data, module)
        else:
            self.common.data.source.close()
        finalist = self.finalist()
        if not self.candidates[finalist.name].closed_form:
            module.start_from(self.weights(finalist))
        curve.before = self.seconds

    def conclude(
        self, config: DictConfig, module: TrainingModule, curve: KeepCurve
    ) -> tuple[DictConfig, TrainingModule, RaceScores]:
        """The config and the model of the best of all: of the last training (`curve`), or of a round of the race."""
        finalist, best, last = self.finalist(), self.best(), curve.best()
        winner, seconds = finalist.name, curve.seconds() - self.seconds
        if last is None or self._weighed(best.name, best.esr) < self._weighed(finalist.name, last):
            winner, config = best.name, self.final_config(best)
            module = build(config, build_parts(config))[1]
            module.start_from(self.weights(best))
            checkpoint = self.folder / BEST
            checkpoint.parent.mkdir(exist_ok=True)
            write_whole(checkpoint, self.weights(best).read_bytes())
            curve.validations = [(0, best.esr, best.teacher_forced_esr)]
        reached = [*self.results]
        if last is not None:
            reached.append(replace(finalist, round=1 + max(r.round for r in reached), esr=last, seconds=seconds))
        rows = [RaceRow(r.name, r.round, _finite(r.esr), round(r.seconds, 1), r.error) for r in reached]
        options = " ".join(self.candidates[winner].options)
        return config, module, RaceScores(winner, options, self._why(winner, curve.best(), reached), rows, self.absent)

    def _why(self, winner: str, esr: float, reached: Sequence[Result]) -> str:
        """A sentence on why the winner won."""
        others = [r for r in reached if r.name != winner and math.isfinite(r.esr)]
        why = f"{winner} won the race with a validation error of {esr:.2e}"
        if not others:
            return f"{why}; there was no other"
        best = min(others, key=lambda r: r.esr)
        if best.esr < esr and not self.candidates[best.name].closed_form:
            return f"{why}; {best.name} had {best.esr:.2e}, but a network must be clearly below a fit"
        return f"{why}; the next, {best.name}, had {best.esr:.2e} when it was left behind"

    def weights(self, result: Result) -> Path:
        """The checkpoint of a result."""
        return place_of(self.folder, result.name, result.round) / BEST


def _finite(error: float) -> float | None:
    return error if math.isfinite(error) else None
