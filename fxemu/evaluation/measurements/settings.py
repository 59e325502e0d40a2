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
        nearest_esr: that of the model with its knobs at the nearest setting trained at, against the wet of this one.
        gain_esr: that of the best constant gain, fitted to these very songs at this setting.
    """

    values: dict[str, float]
    esr: float
    nearest_esr: float
    gain_esr: float


@dataclass(frozen=True)
class KnobScores:
    """Errors over held-out settings: the median, the worst, and each, the least error first.

    Args:
        nearest_esr_median: the median of `SettingScore.nearest_esr`.
        outdone: that a volume knob has less error at some of them, in a sentence (None: at none).
    """

    esr_median: float
    esr_worst: float
    nearest_esr_median: float
    settings: list[SettingScore]
    outdone: str | None


def at_held_out(
    loop: ClosedLoop,
    songs: Sequence[Pair],
    effect: Effect,
    sample_rate: int,
    settings: Tensor,
    trained: Sequence[Tensor],
) -> KnobScores:
    """Free runs over the middle of each song at each setting, positions (count, K), beside the effect's own wet.

    `trained` are settings trained at, (K,).
    """
    excerpts = [song.middle(EXCERPT_S * sample_rate).dry for song in songs]
    scores = []
    for at in settings:
        turned = effect.at(at)
        scores.append(_score(loop, [(dry, turned(dry, sample_rate)) for dry in excerpts], at, trained, effect.knobs))
    return _sorted(scores)


def at_recorded(
    loop: ClosedLoop, test: Sequence[Pair], knobs: Sequence[Knob], trained: Sequence[Tensor]
) -> KnobScores | None:
    """Free runs over the recordings at each setting that is none of those trained at, (K,); None if there are none."""
    known = {tuple(at.tolist()) for at in trained}
    settings: dict[tuple[float, ...], list[Pair]] = {}
    for song in test:
        if (at := tuple(song.knobs.tolist())) not in known:
            settings.setdefault(at, []).append(song)
    scores = []
    for songs in settings.values():
        scores.append(_score(loop, [(song.dry, song.wet) for song in songs], songs[0].knobs, trained, knobs))
    return _sorted(scores) if scores else None


def _sorted(scores: list[SettingScore]) -> KnobScores:
    errors = [score.esr for score in scores]
    worse = sum(outdone(score.esr, {"gain": score.gain_esr}) is not None for score in scores)
    text = f"at {worse} of {len(scores)} settings not trained at a volume knob has less error than the model"
    by_error = sorted(scores, key=lambda score: score.esr)
    nearest = statistics.median(score.nearest_esr for score in scores)
    return KnobScores(statistics.median(errors), max(errors), nearest, by_error, text if worse else None)


def _score(
    loop: ClosedLoop, pairs: list[tuple[Tensor, Tensor]], at: Tensor, trained: Sequence[Tensor], knobs: Sequence[Knob]
) -> SettingScore:
    """Errors over (dry, wet) of (samples,) each, made at positions (K,)."""
    dry, wet = zip(*pairs, strict=True)
    nearest = min(trained, key=lambda other: float((other - at).square().sum()))
    gain = best_gain(pairs)
    predictions = (
        render_many(loop.at(at), list(dry)),
        render_many(loop.at(nearest), list(dry)),
        [gain(*pair) for pair in pairs],
    )
    return SettingScore(
        values(knobs, at), *(metrics.esr(*metrics.over_all(zip(found, wet, strict=True))) for found in predictions)
    )


def lines(scores: KnobScores) -> list[str]:
    """The scores to print, with the worst setting."""
    worst = ", ".join(f"{name}={value:.4g}" for name, value in scores.settings[-1].values.items())
    errors = f"median {scores.esr_median:.1e}, worst {scores.esr_worst:.1e} ({worst})"
    nearest = f"with the knobs at the nearest setting trained at: median {scores.nearest_esr_median:.1e}"
    warned = [f"WORSE THAN A VOLUME KNOB: {scores.outdone}"] if scores.outdone else []
    return [f"ESR at {len(scores.settings)} settings not trained at: {errors}", nearest, *warned]
