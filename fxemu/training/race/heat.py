"""Rounds of a race: candidates train for a share of the time, as many at once as there are cores."""

from __future__ import annotations

import copy
import json
import math
import signal
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import pytorch_lightning as pl
from omegaconf import DictConfig
from torch import Tensor

from fxemu.data.module import SongData
from fxemu.evaluation import validation
from fxemu.evaluation.validation import CLICK, SILENCE, WrongHistoryPiece
from fxemu.files import write_json
from fxemu.library.pair import Pair
from fxemu.library.songs import PARTS
from fxemu.models.closed_loop import wet_limit
from fxemu.training.callbacks import KeepCurve, StopOnInterrupt, write_checkpoint
from fxemu.training.durations import seconds_of, time_of
from fxemu.training.module import TrainingModule
from fxemu.training.monitoring.terminal import tell
from fxemu.training.parts import build, build_parts
from fxemu.training.race.candidates import Candidate, of_trained_weights
from fxemu.training.race.tasks import Interrupt, can_fork, run_tasks
from fxemu.training.run_folder import RACE
from fxemu.training.trainer import build_trainer

BEST, RESULT = Path("checkpoints", "best.ckpt"), "result.json"
# Seconds of the training songs that the race uses, fits at least so much of each: they take as long as the audio is.
SONGS_S, SONG_S = 60.0, 20.0
# A movement is known where it has come round: with twice the audio, two songs of a minute, of 30 s at the slowest.
PERIODIC_SONGS_S, PERIODIC_SONG_S = 120.0, 60.0
# Pieces from wrong pasts that a candidate is validated on, at most; the last training has all of them.
WRONG_PIECES = 8
# The share of the time that all fits in closed form may take, which need one to two minutes of one core (half was too
# little on a slow one); and where one has found what another goes on from: no network comes near it there.
FIT_SHARE, NEXT_FIT_SHARE = 0.6, 0.8
# A round takes at most this factor of its candidates' shares of the time, and so many seconds for each.
LATE, LATE_S = 2.0, 30.0
# Errors below this count as equal, and the first candidate wins: fits are listed from the cheapest to play on.
INAUDIBLE = 1e-10
# Why a candidate has no result that was beyond the time of its round.
CUT_OFF = "cut off: a longer trainer.max_time may let it win"


@dataclass(frozen=True)
class Result:
    """The result of a candidate in a round.

    Args:
        name: of the candidate.
        round: from 1; 0 for fits in closed form.
        esr: its selection score, see `validation.scores`; infinity if it failed.
        teacher_forced_esr: ESR with the true past at every step.
        seconds: that the round took.
        error: why it failed (None: it did not).
        interrupted: whether a signal ended it early, so that it is repeated on resuming.
    """

    name: str
    round: int
    esr: float
    teacher_forced_esr: float
    seconds: float
    error: str | None = None
    interrupted: bool = False

    def line(self) -> str:
        """The result as a line of a table."""
        reached = f"{self.esr:>10.2e}" if self.error is None else f"{'out':>10}"
        return f"  round {self.round}  {self.name:<24}{reached}{self.seconds:>8.1f} s  {self.error or ''}".rstrip()


@dataclass(frozen=True)
class Common:
    """Data that all candidates share: songs, and the effect's outputs for the signals that they are validated on."""

    data: SongData
    settled: list[Tensor]
    wrong: list[WrongHistoryPiece]

    def give(self, data: SongData, module: TrainingModule, training: list[Pair] | None = None) -> None:
        """Spare a candidate's data and training modules from reading and making the same again."""
        data.share(self.data, training)
        module.settled, module.wrong = self.settled, self.wrong

    def starts(self, periodic: bool) -> list[Pair]:
        """The starts of as many training songs as fits need: there alone is an oscillator's phase known.

        Of recordings at settings of knobs all: each has what no other one shows.
        """
        songs_s, song_s = (PERIODIC_SONGS_S, PERIODIC_SONG_S) if periodic else (SONGS_S, SONG_S)
        songs = self.data.parts["train"]
        if self.data.effect.knobs and not self.data.effect.replayable:
            return songs
        each = max(song_s, songs_s / len(songs))
        return [song.start(round(each * self.data.sample_rate)) for song in songs[: math.ceil(songs_s / each)]]


def read_common(candidates: Sequence[Candidate]) -> Common:
    """Read the songs once, all that any candidate can use, and process what models are validated on."""
    made = [build(candidate.config, build_parts(candidate.config))[0] for candidate in candidates]
    data = min(made, key=lambda data: data.sizes.samples)
    data.setup()
    # Here and now: the threads that read a streamed library are not those of a forked process.
    for part in PARTS:
        data.parts[part]
    settled = data.effect_outputs((SILENCE, CLICK))
    return Common(data, settled, data.wrong_history_pieces(wet_limit(data.wet_peak())))


@dataclass(frozen=True)
class Heat:
    """Rounds of a race in a run folder.

    Args:
        folder: of the run.
        max_time: of the whole run.
        common: what the candidates share.
        workers: candidates that train at once.
        begun: when the first one began, by `time.perf_counter`.
    """

    folder: Path
    max_time: str | None
    common: Common
    workers: int
    begun: float = field(default_factory=time.perf_counter)

    def hold(self, candidates: Sequence[Candidate], number: int, share: float, interrupt: Interrupt) -> list[Result]:
        """Let candidates train for a share of their training; what they reached, as far as they came to an end.

        Those that an earlier start has left are not repeated, and none begins once one has an inaudible error.
        """
        places = {candidate.name: place_of(self.folder, candidate.name, number) for candidate in candidates}
        todo = [candidate for candidate in candidates if not _came_through(places[candidate.name])]
        begun, limit_s = time.perf_counter(), self._limit_s(todo, share)
        tasks = [partial(self._train, candidate, number, share, places[candidate.name]) for candidate in todo]

        def enough() -> bool:
            return any(result.esr <= INAUDIBLE for result in map(_left_at, places.values()) if result)

        run_tasks(tasks, self.workers, limit_s, interrupt, enough)
        reached = []
        for candidate in candidates:
            if result := _left_at(places[candidate.name]):
                reached.append(result)
            elif interrupt.received is None and not enough():
                taken = time.perf_counter() - begun
                error = CUT_OFF if taken >= limit_s else "its process ended"
                reached.append(Result(candidate.name, number, math.inf, math.inf, taken, error))
        for result in reached:
            tell(result.line())
        return reached

    def _limit_s(self, candidates: Sequence[Candidate], share: float) -> float:
        """Seconds that a round of candidates may take, with a share of the time each (0: all fits together)."""
        whole = seconds_of(self.max_time)
        if not share:
            most = NEXT_FIT_SHARE if any(candidate.after for candidate in candidates) else FIT_SHARE
            return whole * most - (time.perf_counter() - self.begun)
        return (LATE * share * whole + LATE_S) * math.ceil(len(candidates) / self.workers)

    def _train(self, candidate: Candidate, number: int, share: float, place: Path) -> None:
        """A candidate's training in a round, from its weights of the round before; writes its result."""
        begun, interrupted = time.perf_counter(), False
        before = place_of(self.folder, candidate.name, number - 1) / BEST
        try:
            esr, teacher_forced, interrupted = _short_training(
                candidate, share, self.common, place, before if number > 1 else None
            )
            error = None if math.isfinite(esr) else "its error is not finite"
        except Exception as problem:
            esr = teacher_forced = math.inf
            error = (str(problem) or repr(problem)).splitlines()[0]
        result = Result(candidate.name, number, esr, teacher_forced, time.perf_counter() - begun, error, interrupted)
        place.mkdir(parents=True, exist_ok=True)
        write_json(place / RESULT, asdict(result))


def _short_training(
    candidate: Candidate, share: float, common: Common, place: Path, before: Path | None
) -> tuple[float, float, bool]:
    """Train for a share of the training, keep the best weights.

    Returns:
        its selection score, teacher-forced ESR, and whether it was interrupted.
    """
    config = _shortened(candidate, share)
    if before is not None:
        config = of_trained_weights(config)
    parts = build_parts(config)
    data, module = build(config, parts)
    common.give(data, module, common.starts(module.loop.periodic) if candidate.closed_form else None)
    module.wrong = common.wrong[:: max(1, math.ceil(len(common.wrong) / WRONG_PIECES))]
    if before is not None:
        module.start_from(before)
    pl.seed_everything(config.seed, verbose=False)
    curve = KeepCurve()
    trainer = build_trainer(config, place, parts.schedule.steps, curve, progress=False)
    trainer.fit(module, datamodule=data)
    received = [each.received for each in trainer.callbacks if isinstance(each, StopOnInterrupt) and each.received]
    if received and not can_fork():
        # It was this process that got the signal, and it is for the whole race.
        signal.raise_signal(received[0])
    if curve.validations:
        return *min((esr, forced) for _, esr, forced in curve.validations), bool(received)
    scores = validation.scores(module.loop, data.validation_songs(), common.settled, module.wrong)
    write_checkpoint(place / BEST, {"state_dict": module.state_dict()})
    return scores["val/esr"], scores["val/teacher_forced_esr"], bool(received)


def _left_at(place: Path) -> Result | None:
    """The result of a candidate in a round; None before it is there."""
    return Result(**json.loads((place / RESULT).read_text())) if (place / RESULT).is_file() else None


def _came_through(place: Path) -> bool:
    """Whether an earlier start has left a result that counts."""
    result = _left_at(place)
    return result is not None and not result.interrupted


def _shortened(candidate: Candidate, share: float) -> DictConfig:
    """A config for a share of the training, on some of the songs, with one validation, at its end."""
    config = copy.deepcopy(candidate.config)
    config.threads = 1
    if candidate.closed_form:
        config.data.train_seconds = None  # it is given their starts
    else:
        config.data.train_seconds = min(SONGS_S, config.data.train_seconds or SONGS_S)
        steps = max(1, math.ceil(share * config.training.steps))
        config.training.steps = config.data.batches_per_epoch = steps
        config.trainer.max_time = time_of(share * seconds_of(config.trainer.max_time))
    return config


def place_of(folder: Path, name: str, number: int) -> Path:
    return folder / RACE / name / str(number)
