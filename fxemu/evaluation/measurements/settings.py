"""Errors of a model with knobs at settings that it was not trained at."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from fxemu.effects import Effect
from fxemu.engine.streaming.stream import render_many
from fxemu.evaluation import metrics
from fxemu.evaluation.baselines import best_gain, outdone
from fxemu.library.pair import Pair
from fxemu.models.closed_loop import ClosedLoop
from fxemu.models.knobs import Knob, values

# Of each song, its middle.
EXCERPT_S = 5


@dataclass(frozen=True)
class SettingScore:
    """ESR over all test songs at one setting, with the values of its knobs by name.

    Args:
        gain_esr: that of the best constant gain, fitted to these very songs at this setting.
    """

    values: dict[str, float]
    esr: float
    gain_esr: float


@dataclass(frozen=True)
class KnobScores:
    """Errors over held-out settings: the median, the worst, and each, the least error first.

    Args:
        outdone: that a volume knob has less error at some of them, in a sentence (None: at none).
    """

    esr_median: float
    esr_worst: float
    settings: list[SettingScore]
    outdone: str | None


def at_held_out(
    loop: ClosedLoop, songs: Sequence[Pair], effect: Effect, sample_rate: int, settings: Tensor
) -> KnobScores:
    """Free runs over the middle of each song at each setting, positions (count, K), beside the effect's own wet."""
    excerpts = [song.middle(EXCERPT_S * sample_rate).dry for song in songs]
    scores = []
    for at in settings:
        turned = effect.at(at)
        pairs = [(dry, turned(dry, sample_rate)) for dry in excerpts]
        scores.append(_score(loop.at(at), pairs, values(effect.knobs, at)))
    return _sorted(scores)


def at_recorded(
    loop: ClosedLoop, train: Sequence[Pair], test: Sequence[Pair], knobs: Sequence[Knob]
) -> KnobScores | None:
    """Free runs over the recordings at each setting that none of those trained on has; None if there are none."""
    trained = {tuple(song.knobs.tolist()) for song in train}
    settings: dict[tuple[float, ...], list[Pair]] = {}
    for song in test:
        if (at := tuple(song.knobs.tolist())) not in trained:
            settings.setdefault(at, []).append(song)
    scores = []
    for songs in settings.values():
        pairs = [(song.dry, song.wet) for song in songs]
        scores.append(_score(loop.at(songs[0].knobs), pairs, values(knobs, songs[0].knobs)))
    return _sorted(scores) if scores else None


def _sorted(scores: list[SettingScore]) -> KnobScores:
    errors = [score.esr for score in scores]
    worse = sum(outdone(score.esr, {"gain": score.gain_esr}) is not None for score in scores)
    text = f"at {worse} of {len(scores)} settings not trained at a volume knob has less error than the model"
    by_error = sorted(scores, key=lambda score: score.esr)
    return KnobScores(statistics.median(errors), max(errors), by_error, text if worse else None)


def _score(loop: ClosedLoop, pairs: list[tuple[Tensor, Tensor]], at: dict[str, float]) -> SettingScore:
    """Errors over (dry, wet) of (samples,) each, of the model with its knobs there and of the best constant gain."""
    predictions = render_many(loop, [dry for dry, _ in pairs])
    gain = best_gain(pairs)
    esr, gain_esr = (
        metrics.esr(*metrics.over_all(zip(found, (wet for _, wet in pairs), strict=True)))
        for found in (predictions, [gain(dry, wet) for dry, wet in pairs])
    )
    return SettingScore(at, esr, gain_esr)


def lines(scores: KnobScores) -> list[str]:
    """The scores in a line to print, with the worst setting."""
    worst = ", ".join(f"{name}={value:.4g}" for name, value in scores.settings[-1].values.items())
    errors = f"median {scores.esr_median:.1e}, worst {scores.esr_worst:.1e} ({worst})"
    warned = [f"WORSE THAN A VOLUME KNOB: {scores.outdone}"] if scores.outdone else []
    return [f"ESR at {len(scores.settings)} settings not trained at: {errors}", *warned]
