"""Schema of `metrics.json`, one for all that write, print or compare it.

Every error is of a free run from silence over whole held-out songs unless its field says otherwise. A dataclass here is
a mapping in the file, with a key for each field; what is None is null.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from fxemu.evaluation.measurements.settings import KnobScores


@dataclass(frozen=True)
class Errors:
    """Errors over one set of audio: ESR and NMAE, see `metrics`."""

    esr: float
    nmae: float


@dataclass(frozen=True)
class SongScores:
    """Errors on one song, and the sample from which on the free run is stuck at its limit (None: it never is)."""

    name: str
    esr: float
    nmae: float
    samples_to_divergence: int | None


@dataclass(frozen=True)
class LevelScores:
    """Errors where the input's peak is at `level_db` (dBFS); `error_dbfs` is the error's own level (RMS, dBFS)."""

    level_db: float
    esr: float
    nmae: float
    error_dbfs: float


@dataclass(frozen=True)
class PhaseScores:
    """The phase of a model of an effect with an oscillator, against the effect's.

    Args:
        esr_best_phase: ESR of the first seconds, with the start phase of the effect that suits them best.
        drift_hz: by how much the oscillator is too fast.
        drift_radians_a_minute: the same, as an angle.
    """

    esr_best_phase: float
    drift_hz: float
    drift_radians_a_minute: float


@dataclass(frozen=True)
class PrimedScores:
    """ESR of a free run from within a song, after so many seconds of true samples; `phase` of effects with a rate.

    In the file the fields of `phase` stand beside the others.
    """

    primed_s: float
    esr: float
    phase: PhaseScores | None


@dataclass(frozen=True)
class DecayScores:
    """Seconds until a burst of noise has fallen by 60 dB, and the model's relative error (None: it does not fall)."""

    effect_s: float
    model_s: float | None
    error: float | None


@dataclass(frozen=True)
class PastScores:
    """Free runs over stretches of songs, each begun from several wrong pasts.

    Args:
        median_s, worst_s: seconds until a run is together with that from the true past (None: not before the end).
        left_db: how far apart the worst run stays, over the target, in the mean of the last quarter.
        esr: after the recovery, by past. The model's is against the song's wet or, where that is nearer, what the
            effect makes of the stretch after the same dry: what an effect remembers, such as an echo, is no error.
        esr_worst, esr_best: with the worst and the best past of each stretch; `worst_over_best`: their ratio.
    """

    median_s: float | None
    worst_s: float | None
    left_db: float
    esr: dict[str, float]
    esr_worst: float
    esr_best: float
    worst_over_best: float


@dataclass(frozen=True)
class ContractionScores:
    """Contraction: whether runs begun from different pasts come together.

    Args:
        model: of the model.
        effect: of the effect itself (None for recordings, which cannot be played again after another past).
        warning: what is wrong, in a sentence (None: nothing).
        guaranteed_s: until the difference of any two runs is down to 1e-3 of what it began with, by the weights alone,
            see `engine/contraction.py` (None: they guarantee nothing).
    """

    model: PastScores
    effect: PastScores | None
    warning: str | None
    guaranteed_s: float | None


@dataclass(frozen=True)
class StabilityScores:
    """Free runs on signals that provoke trouble.

    Args:
        rest: the largest sample in the last 0.1 s of a second of silence, where it should be 0.
        rest_peak: the largest sample of all of that second; more than `rest` if a render begins with a thump.
        after_square: the largest difference from that run there, after 0.5 s of a full-scale square wave of 100 Hz.
        after_click: the same, after one full-scale sample.
        largest: the largest sample of all these runs over the limit, below 1 if nothing ran into it.
        forgets_ms: how long a history disturbed by 0.1 changes a run over music by more than 0.0001 (None: to its end).
    """

    rest: float
    rest_peak: float
    after_square: float
    after_click: float
    largest: float
    forgets_ms: float | None


@dataclass(frozen=True)
class AliasingScores:
    """Aliased over harmonic energy of tones from 1 to 5 kHz in dB: the model's, and the effect's own.

    Of recordings, which cannot be played again, the latter is None.
    """

    model_db: float
    effect_db: float | None


@dataclass(frozen=True)
class Scores:
    """Scores of a model on held-out songs.

    Args:
        esr, nmae, esr_preemphasis, esr_a_weighted, esr_treble, treble_level_db, loudness_error_lu, dc, mrstft,
            gain_error_db: see `metrics`; over all songs together.
        esr_median, esr_worst: of single songs.
        inverted_esr: ESR with the output upside down; below `esr` a sign is wrong.
        teacher_forced_esr: ESR of one-step predictions from the true past.
        divergences: songs whose free run ends stuck at its limit.
        realtime_factor: seconds of audio rendered in a second on one core.
        baselines: errors of predictors that need no training by gradient, by name.
        outdone: that one of them has less error than the model, in a sentence (None: none has).
        levels: by input level; empty for recordings, which cannot be played again at another.
        drowned: that at some of them the effect drowns in the model's error, in a sentence (None: at none).
        primed: by seconds of priming.
        decay: None for effects without a tail, and for recordings.
        contraction: None for effects and models with an oscillator, whose phase the past decides.
        aliasing: None for effects and models with an oscillator, whose sidebands are no aliases.
        knobs: None for a model without; with some, all else is at their defaults.
    """

    esr: float
    esr_median: float
    esr_worst: float
    nmae: float
    inverted_esr: float
    esr_preemphasis: float
    esr_a_weighted: float
    esr_treble: float
    treble_level_db: float
    loudness_error_lu: float
    gain_error_db: float
    dc: float
    mrstft: float
    teacher_forced_esr: float
    divergences: int
    realtime_factor: float
    baselines: dict[str, Errors]
    outdone: str | None
    levels: list[LevelScores]
    drowned: str | None
    primed: list[PrimedScores]
    decay: DecayScores | None
    contraction: ContractionScores | None
    aliasing: AliasingScores | None
    stability: StabilityScores
    songs: list[SongScores]
    knobs: KnobScores | None = None

    def to_json(self) -> dict[str, Any]:
        """The content of `metrics.json` under "test"."""
        content = asdict(self)
        for primed in content["primed"]:
            primed |= primed.pop("phase") or {}
        return content


@dataclass(frozen=True)
class RaceRow:
    """The result of a candidate in a round of the race.

    Args:
        name: of the candidate.
        round: from 1; 0 for fits in closed form; the last for the training that followed.
        esr: selection score (None: it failed).
        seconds: that it took.
        error: why it failed (None: it did not).
    """

    name: str
    round: int
    esr: float | None
    seconds: float
    error: str | None


@dataclass(frozen=True)
class RaceScores:
    """The race of `model=auto`.

    Args:
        winner: name of the candidate whose model this is, and its `options`.
        why: it won, in a sentence.
        rows: what each candidate reached in each round.
        absent: why others could not take part, by name.
    """

    winner: str
    options: str
    why: str
    rows: list[RaceRow]
    absent: dict[str, str]


@dataclass(frozen=True)
class Report:
    """All of `metrics.json`.

    Args:
        test: on held-out songs.
        val_esr: the least selection score, by which the checkpoint was selected: ESR of a free run over the validation
            songs plus penalties, see `validation.scores` (None: none was finite).
        parameters: of the model.
        multiply_adds: of the model in one sample.
        audio_seconds: of training audio (None for a streamed library).
        train_seconds: that training took.
        validation_share: of them that went into validations, 0 to 1.
        effect, repr, model: options that were chosen.
        race: of `model=auto` (None: there was none).
        box: what the effect is, in a sentence (None: songs are too short to say).
    """

    test: Scores
    val_esr: float | None
    parameters: int
    multiply_adds: int
    audio_seconds: float | None
    train_seconds: float
    validation_share: float
    effect: str
    repr: str
    model: str
    race: RaceScores | None = None
    box: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The file's content."""
        return {**asdict(self), "test": self.test.to_json()}


# The numbers by which runs are compared.
NAMES = tuple(
    field.name for kind in (Scores, Report) for field in fields(kind) if field.type.startswith(("int", "float"))
)
