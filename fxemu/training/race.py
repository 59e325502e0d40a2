"""The race of `model=auto`: candidates train for a short time, the better half goes on, and one gets what is left."""

from __future__ import annotations

import copy
import itertools
import json
import math
import signal
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf, open_dict
from torch import Tensor

from fxemu.data.module import SongData
from fxemu.data.sources import Streamed
from fxemu.errors import ConfigError, Terminated, UserError
from fxemu.evaluation import validation
from fxemu.evaluation.scores import RaceRow, RaceScores
from fxemu.evaluation.validation import CLICK, SILENCE, WrongHistoryPiece
from fxemu.files import write_json, write_whole
from fxemu.library.songs import PARTS
from fxemu.training.callbacks import KeepCurve, StopOnInterrupt
from fxemu.training.candidates import Candidate, compose_candidates, save_candidates, saved_candidates
from fxemu.training.module import TrainingModule
from fxemu.training.parts import build, build_parts
from fxemu.training.run_folder import RACE, process_count, saved_config
from fxemu.training.tasks import Interrupt, can_fork, cores, run_tasks
from fxemu.training.terminal import tell
from fxemu.training.trainer import build_trainer, set_up_process

BEST, RESULT = Path("checkpoints", "best.ckpt"), "result.json"
# Seconds of the training songs that the race uses: fits take as long as the audio is.
SONGS_S = 60.0
# The share of the time that all fits in closed form may take, and that where the effect has an oscillator, which
# nothing else learns.
FIT_SHARE, OSCILLATOR_SHARE = 0.1, 0.6
# A round takes at most this factor of its candidates' shares of the time, and so many seconds for each.
LATE, LATE_S = 2.0, 30.0
# The share of the time that is left to the last training in any case.
LEAST_SHARE = 0.2


@dataclass(frozen=True)
class Result:
    """What a candidate reached in a round.

    Args:
        name: of the candidate.
        round: from 1; 0 for fits in closed form.
        esr: its selection score, see `validation.scores`; infinity if it failed.
        teacher_forced_esr: ESR with the true past at every step.
        seconds: that the round took.
        error: why it failed (None: it did not).
    """

    name: str
    round: int
    esr: float
    teacher_forced_esr: float
    seconds: float
    error: str | None = None

    def line(self) -> str:
        """The result as a line of a table."""
        reached = f"{self.esr:>10.2e}" if self.error is None else f"{'out':>10}"
        return f"  round {self.round}  {self.name:<24}{reached}{self.seconds:>8.1f} s  {self.error or ''}".rstrip()


@dataclass
class Race:
    """A race in a run folder: its candidates, what they reached, and who trains on.

    Args:
        folder: of the run.
        candidates: by name.
        max_time: of the whole run.
        absent: why others cannot take part, by name.
        results: of all rounds so far.
        seconds: that it took.
        received: the signal by which it was interrupted (None: it was not).
        common: what the candidates share (None: it was held by an earlier start).
    """

    folder: Path
    candidates: dict[str, Candidate]
    max_time: str | None
    absent: dict[str, str] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    seconds: float = 0.0
    received: int | None = None
    common: Common | None = None

    def best(self) -> Result | None:
        """The least error of all; the first of equals."""
        return min((r for r in self.results if math.isfinite(r.esr)), key=lambda r: r.esr, default=None)

    def expected(self, name: str) -> float:
        """The error to expect of a candidate's whole training: what it has, over the factor that it may still fall by.

        That is its promise, or less where its last round brought little: the square of what that brought.
        """
        errors = [result.esr for result in self.results if result.name == name]
        if not errors or not math.isfinite(errors[-1]):
            return math.inf
        promise = self.candidates[name].promise
        brought = [(before / after) ** 2 for before, after in itertools.pairwise(errors)]
        return errors[-1] / max(1.0, min([promise, *brought[-1:]]))

    def finalist(self) -> Result | None:
        """The last result of the candidate that trains on: the one of which the least error is to be expected."""
        name = min(self.candidates, key=self.expected, default=None)
        if name is None or math.isinf(self.expected(name)):
            return None
        return [result for result in self.results if result.name == name][-1]

    def better_half(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Those that go on to the next round: the better half of each kind."""
        chosen = []
        for kind in dict.fromkeys(candidate.kind for candidate in candidates):
            alike = [c for c in candidates if c.kind == kind and math.isfinite(self.expected(c.name))]
            alike.sort(key=lambda candidate: self.expected(candidate.name))
            chosen += alike[: math.ceil(len(alike) / 2)]
        return chosen

    def final_config(self, finalist: Result) -> DictConfig:
        """The finalist's config for what is left of the time."""
        config = copy.deepcopy(self.candidates[finalist.name].config)
        left = seconds_of(self.max_time) - self.seconds
        config.trainer.max_time = time_of(max(left, LEAST_SHARE * seconds_of(self.max_time)))
        return config

    def hand_over(self, data: SongData, module: TrainingModule, curve: KeepCurve) -> None:
        """Let the finalist's training begin where it ended in the race; fits begin anew, with all of the songs."""
        if isinstance(self.common.data.source, Streamed):
            self.common.data.source.close()
        else:
            self.common.give(data, module)
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
        if last is None or best.esr < last:
            winner, config = best.name, self.final_config(best)
            module = build(config, build_parts(config))[1]
            module.start_from(self.weights(best))
            checkpoint = self.folder / BEST
            checkpoint.parent.mkdir(exist_ok=True)
            write_whole(checkpoint, self.weights(best).read_bytes())
            curve.validations.insert(0, (0, best.esr, best.teacher_forced_esr))
        reached = [*self.results]
        if last is not None:
            reached.append(replace(finalist, round=1 + max(r.round for r in reached), esr=last, seconds=seconds))
        rows = [RaceRow(r.name, r.round, _finite(r.esr), round(r.seconds, 1), r.error) for r in reached]
        options = " ".join(self.candidates[winner].options)
        return config, module, RaceScores(winner, options, self._why(winner, curve.best()), rows, self.absent)

    def _why(self, winner: str, esr: float) -> str:
        """Why the winner won, in a sentence."""
        others = [r for r in self.results if r.name != winner and math.isfinite(r.esr)]
        why = f"{winner} won the race with a validation error of {esr:.2e}"
        if not others:
            return f"{why}; there was no other"
        best = min(others, key=lambda r: r.esr)
        return f"{why}; the next, {best.name}, had {best.esr:.2e} when it was left behind"

    def weights(self, result: Result) -> Path:
        """The checkpoint of a result."""
        return _place(self.folder, result.name, result.round) / BEST


@dataclass(frozen=True)
class Common:
    """What all candidates share: the songs, and what the effect makes of the signals that they are validated on."""

    data: SongData
    settled: list[Tensor]
    wrong: list[WrongHistoryPiece]

    def give(self, data: SongData, module: TrainingModule) -> None:
        """Spare a candidate's data and training modules from reading and making the same again."""
        data.share(self.data)
        module.settled, module.wrong = self.settled, self.wrong


def after_race(config: DictConfig, folder: Path, resumed: bool) -> tuple[DictConfig, Race | None]:
    """The config to train by, and the race that found it: held now, or by the earlier start of a run that is resumed.

    Raises:
        UserError: if no candidate has reached anything.
        Terminated: if it was interrupted before one had.
    """
    if resumed:
        return _without_race(saved_config(folder) if "race" in config else config), finished_race(folder)
    if "race" not in config or not is_worth_it(config):
        return _without_race(config), None
    race = run_race(config, folder)
    finalist = race.finalist()
    if finalist is None:
        if race.received:
            raise Terminated(race.received)
        raise UserError("model=auto: no candidate has come through: " + "; ".join(r.line() for r in race.results))
    return race.final_config(finalist), race


def _without_race(config: DictConfig) -> DictConfig:
    config = copy.deepcopy(config)
    with open_dict(config):
        config.pop("race", None)
    return config


def _finite(error: float) -> float | None:
    return error if math.isfinite(error) else None


def is_worth_it(config: DictConfig) -> bool:
    """Whether a training is long enough for a race, made by one process, and of plain samples, as most candidates."""
    plain = all(config.repr[side]._target_ == "fxemu.representations.Raw" for side in ("input", "output"))
    alone = config.trainer.devices in (1, "1") and config.trainer.num_nodes == 1 and process_count() == 1
    long = seconds_of(config.trainer.max_time) >= config.race.least_s
    return plain and alone and long and config.training.steps >= config.race.least_steps


def run_race(config: DictConfig, folder: Path) -> Race:
    """Hold the race of a config with `race`, or what is left of it where an earlier start was interrupted.

    Raises:
        ConfigError: if no candidate can take part.
    """
    begun = time.perf_counter()
    race = _opened(config, folder)
    set_up_process(config)
    race.common = _common([*race.candidates.values()])
    heat = Heat(race, race.common, config.threads or cores())
    fitted, trained = ([c for c in race.candidates.values() if c.closed_form == closed] for closed in (True, False))
    tell(f"{race.common.data.source.summary()}; race of {', '.join(race.candidates)}, {heat.workers} at once")
    interrupt = Interrupt()
    with interrupt.kept():
        heat.hold(fitted, 0, 0.0, interrupt)
        best = race.best()
        if best is None or best.esr > config.race.enough:
            for number, share in enumerate(config.race.rounds, start=1):
                heat.hold(trained, number, share, interrupt)
                trained = race.better_half(trained)
    race.received = interrupt.received
    race.seconds = time.perf_counter() - begun
    return race


def _opened(config: DictConfig, folder: Path) -> Race:
    """A race at its beginning, its candidates written into the run folder unless they are there."""
    candidates, absent = saved_candidates(config, folder / RACE), {}
    if not candidates:
        candidates, absent = compose_candidates(config)
        if not candidates:
            raise ConfigError("; ".join(dict.fromkeys(absent.values())))
        save_candidates(candidates, folder / RACE)
        write_whole(folder / RACE / "config.yaml", OmegaConf.to_yaml(config, resolve=True).encode())
    return Race(folder, {candidate.name: candidate for candidate in candidates}, config.trainer.max_time, absent)


def finished_race(folder: Path) -> Race | None:
    """The race that an earlier start of a run has held; None if there was none."""
    if not (folder / RACE / "config.yaml").is_file():
        return None
    race = _opened(OmegaConf.load(folder / RACE / "config.yaml"), folder)
    found = sorted((folder / RACE).glob(f"*/*/{RESULT}"), key=lambda path: path.stat().st_mtime)
    race.results = [Result(**json.loads(path.read_text())) for path in found]
    return race


@dataclass(frozen=True)
class Heat:
    """Rounds of a race, `workers` candidates at once."""

    race: Race
    common: Common
    workers: int

    def hold(self, candidates: Sequence[Candidate], number: int, share: float, interrupt: Interrupt) -> None:
        """Let candidates train for a share of their training; those that an earlier start has left are not repeated."""
        places = {candidate.name: _place(self.race.folder, candidate.name, number) for candidate in candidates}
        todo = [candidate for candidate in candidates if not (places[candidate.name] / RESULT).is_file()]
        begun = time.perf_counter()
        tasks = [partial(self._train, candidate, number, share, places[candidate.name]) for candidate in todo]
        run_tasks(tasks, self.workers, self._limit_s(len(todo), share), interrupt)
        reached = []
        for candidate in candidates:
            path = places[candidate.name] / RESULT
            if path.is_file():
                reached.append(Result(**json.loads(path.read_text())))
            elif interrupt.received is None:
                taken = time.perf_counter() - begun
                reached.append(Result(candidate.name, number, math.inf, math.inf, taken, "it ended or took too long"))
        for result in reached:
            tell(result.line())
        self.race.results += reached

    def _limit_s(self, count: int, share: float) -> float:
        """Seconds that a round may take, of `count` candidates with a share of the time each; 0 for fits."""
        whole = seconds_of(self.race.max_time)
        if not share:
            return whole * (FIT_SHARE if self.common.data.effect.rate_hz is None else OSCILLATOR_SHARE)
        return (LATE * share * whole + LATE_S) * math.ceil(count / self.workers)

    def _train(self, candidate: Candidate, number: int, share: float, place: Path) -> None:
        """A candidate's training in a round, from its weights of the round before; writes its result."""
        begun = time.perf_counter()
        before = _place(self.race.folder, candidate.name, number - 1) / BEST
        try:
            esr, teacher_forced = _short_training(candidate, share, self.common, place, before if number > 1 else None)
            error = None if math.isfinite(esr) else "its error is not finite"
        except Exception as problem:
            esr = teacher_forced = math.inf
            error = (str(problem) or repr(problem)).splitlines()[0]
        result = Result(candidate.name, number, esr, teacher_forced, time.perf_counter() - begun, error)
        place.mkdir(parents=True, exist_ok=True)
        write_json(place / RESULT, asdict(result))


def _short_training(
    candidate: Candidate, share: float, common: Common, place: Path, before: Path | None
) -> tuple[float, float]:
    """Train for a share of the training, keep the best weights; returns its selection score and teacher-forced ESR."""
    config = _shortened(candidate, share)
    parts = build_parts(config)
    data, module = build(config, parts)
    common.give(data, module)
    if before is not None:
        module.start_from(before)
    pl.seed_everything(config.seed, verbose=False)
    curve = KeepCurve()
    trainer = build_trainer(config, place, parts.schedule.steps, curve, progress=False)
    trainer.fit(module, datamodule=data)
    if not can_fork():
        # It was this process that got the signal, and it is for the whole race.
        for each in trainer.callbacks:
            if isinstance(each, StopOnInterrupt) and each.received is not None:
                signal.raise_signal(each.received)
    if curve.validations:
        return min((esr, forced) for _, esr, forced in curve.validations)
    scores = validation.scores(module.loop, data.validation_songs(), common.settled, common.wrong)
    (place / BEST).parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": module.state_dict()}, place / BEST)
    return scores["val/esr"], scores["val/teacher_forced_esr"]


def _common(candidates: Sequence[Candidate]) -> Common:
    """Read the songs once, all that any candidate can use, and process what models are validated on."""
    made = [build(candidate.config, build_parts(candidate.config))[0] for candidate in candidates]
    data = min(made, key=lambda data: data.sizes.samples)
    data.setup()
    # Here and now: the threads that read a streamed library are not those of a forked process.
    for part in PARTS:
        data.parts[part]
    settled = data.effect_outputs((SILENCE, CLICK))
    return Common(data, settled, data.wrong_history_pieces(1.2 * data.wet_peak()))


def _shortened(candidate: Candidate, share: float) -> DictConfig:
    """A config for a share of the training, on some of the songs, with one validation, at its end."""
    config = copy.deepcopy(candidate.config)
    config.threads = 1
    config.data.train_seconds = min(SONGS_S, config.data.train_seconds or SONGS_S)
    if not candidate.closed_form:
        steps = max(1, math.ceil(share * config.training.steps))
        config.training.steps = config.data.batches_per_epoch = steps
        config.trainer.max_time = time_of(share * seconds_of(config.trainer.max_time))
    return config


def seconds_of(max_time: str | None) -> float:
    """days:hours:minutes:seconds in s; infinity for None."""
    if max_time is None:
        return math.inf
    days, hours, minutes, seconds = map(int, str(max_time).split(":"))
    return 86_400 * days + 3600 * hours + 60 * minutes + seconds


def time_of(seconds: float) -> str | None:
    """Seconds, 1 at least, as days:hours:minutes:seconds; None for infinity."""
    if math.isinf(seconds):
        return None
    minutes, rest = divmod(max(1, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours // 24:02}:{hours % 24:02}:{minutes:02}:{rest:02}"


def _place(folder: Path, name: str, number: int) -> Path:
    return folder / RACE / name / str(number)
