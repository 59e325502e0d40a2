"""Errors of a model with knobs at settings that it was not trained at."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from fxemu.effects import Effect
from fxemu.engine.streaming.stream import render_many
from fxemu.evaluation import metrics
from fxemu.library.pair import Pair
from fxemu.models.closed_loop import ClosedLoop
from fxemu.models.knobs import Knob, values

# Of each song, its middle.
EXCERPT_S = 5


@dataclass(frozen=True)
class SettingScore:
    """ESR over all test songs at one setting, with the values of its knobs by name."""

    values: dict[str, float]
    esr: float


@dataclass(frozen=True)
class KnobScores:
    """Errors over held-out settings: the median, the worst, and each, the least error first."""

    esr_median: float
    esr_worst: float
    settings: list[SettingScore]


def at_held_out(
    loop: ClosedLoop, songs: Sequence[Pair], effect: Effect, sample_rate: int, settings: Tensor
) -> KnobScores:
    """Free runs over the middle of each song at each setting, positions (count, K), beside the effect's own wet."""
    excerpts = [song.middle(EXCERPT_S * sample_rate).dry for song in songs]
    return _sorted([_score(loop, excerpts, effect, sample_rate, at) for at in settings])


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
        wets = render_many(loop.at(songs[0].knobs), [song.dry for song in songs])
        pairs = zip(wets, (song.wet for song in songs), strict=True)
        scores.append(SettingScore(values(knobs, songs[0].knobs), metrics.esr(*metrics.over_all(pairs))))
    return _sorted(scores) if scores else None


def _sorted(scores: list[SettingScore]) -> KnobScores:
    errors = [score.esr for score in scores]
    return KnobScores(statistics.median(errors), max(errors), sorted(scores, key=lambda score: score.esr))


def _score(loop: ClosedLoop, excerpts: list[Tensor], effect: Effect, sample_rate: int, at: Tensor) -> SettingScore:
    turned = effect.at(at)
    wets = [turned(dry, sample_rate) for dry in excerpts]
    pairs = zip(render_many(loop.at(at), excerpts), wets, strict=True)
    return SettingScore(values(effect.knobs, at), metrics.esr(*metrics.over_all(pairs)))


def lines(scores: KnobScores) -> list[str]:
    """The scores in a line to print, with the worst setting."""
    worst = ", ".join(f"{name}={value:.4g}" for name, value in scores.settings[-1].values.items())
    errors = f"median {scores.esr_median:.1e}, worst {scores.esr_worst:.1e} ({worst})"
    return [f"ESR at {len(scores.settings)} settings not trained at: {errors}"]
