"""Errors by input level: free runs over test songs turned down before the effect."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from fxemu.audio.tensors import amplify
from fxemu.effects import Effect
from fxemu.engine.streaming.stream import render_many
from fxemu.evaluation import metrics
from fxemu.evaluation.scores import LevelScores
from fxemu.library.pair import Pair
from fxemu.models.closed_loop import ClosedLoop

LEVELS_DB = (0, -12, -24, -36, -48, -60)  # dBFS, peak
LISTENED_DB = -40  # dBFS, peak: what is written as audio files
# The level of an error (RMS, dBFS) below which nobody hears it.
INAUDIBLE_DBFS = -90.0
# What bounds the cost: the loudest stretch of each song, and the first songs only.
SECONDS, SONGS = 4.0, 6


def around_peak(dry: Tensor, samples: int) -> slice:
    """The stretch of at most `samples` with the peak of `dry` (any,) in its middle, or as near to that as it goes."""
    start = max(0, min(int(dry.abs().argmax()) - samples // 2, dry.numel() - samples))
    return slice(start, start + samples)


def at_levels(
    loop: ClosedLoop, songs: list[Pair], effect: Effect, sample_rate: int
) -> tuple[list[LevelScores], list[tuple[Pair, Tensor]]]:
    """Score the first SONGS songs' loudest SECONDS at each of LEVELS_DB; effect and model both start from silence.

    Args:
        loop: the trained predictor with its representations.
        songs: peak-normalised songs.
        effect: what is emulated.
        sample_rate: in Hz.

    Returns:
        scores over all songs for each level, and (pair, prediction) of each song at LISTENED_DB.
    """
    samples = int(SECONDS * sample_rate)
    dry = [(song.name, song.dry[around_peak(song.dry, samples)]) for song in songs[:SONGS]]
    levels = (*LEVELS_DB, LISTENED_DB)
    turned = [(name, amplify(x, level)) for level in levels for name, x in dry]
    pairs = [Pair(name, x, effect(x, sample_rate)) for name, x in turned]
    predictions = render_many(loop, [pair.dry for pair in pairs])
    rendered = list(zip(pairs, predictions, strict=True))
    by_level = [rendered[i : i + len(dry)] for i in range(0, len(rendered), len(dry))]
    scores = [_score(level, runs) for level, runs in zip(LEVELS_DB, by_level[:-1], strict=True)]
    return scores, by_level[-1]


def _score(level_db: float, runs: list[tuple[Pair, Tensor]]) -> LevelScores:
    prediction, target = metrics.over_all((prediction, pair.wet) for pair, prediction in runs)
    return LevelScores(
        level_db,
        metrics.esr(prediction, target),
        metrics.nmae(prediction, target),
        metrics.level_dbfs(prediction - target),
    )


def drowned(levels: Sequence[LevelScores]) -> str | None:
    """Warning of a model that makes more of an error than the effect makes sound; None where it does so at no level."""
    lost = [score for score in levels if score.esr >= 1 and score.error_dbfs > INAUDIBLE_DBFS]
    if not lost:
        return None
    loudest = max(lost, key=lambda score: score.level_db)
    return (
        f"where the input peaks at {loudest.level_db:.0f} dBFS, silence is nearer to the effect than the model "
        f"(ESR {loudest.esr:.1e}); train with data.gain_db=[-48,0] for quiet playing, or for longer"
    )
