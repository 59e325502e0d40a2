"""Free runs from within a song after true samples: error by length of that priming, and an oscillator's phase."""

from __future__ import annotations

import math

from torch import Tensor

from fxemu.effects import Effect
from fxemu.engine.streaming.stream import Stream
from fxemu.evaluation import metrics
from fxemu.evaluation.scores import PhaseScores, PrimedScores
from fxemu.library.pair import Pair
from fxemu.models.closed_loop import ClosedLoop

PRIMED_S = (0.0, 0.1, 0.5, 2.0)
# The length of the free run after the priming, and where in the song it begins, as a share.
RUN_S, WHERE = 60.0, 1 / 3
# The stretch over which a phase is found, and start phases tried in a period.
WINDOW_S, PHASES = 2.0, 16


def primed(loop: ClosedLoop, song: Pair, effect: Effect, sample_rate: int) -> list[PrimedScores]:
    """Scores of free runs from within a song, where an oscillator may be at any phase, by `PRIMED_S` of true samples.

    A song that has less before that place has fewer scores.
    """
    middle = round(WHERE * song.dry.numel())
    part = slice(middle, middle + round(RUN_S * sample_rate))
    scores = []
    for seconds in PRIMED_S:
        if (samples := round(seconds * sample_rate)) > middle:
            break  # a short song
        stream = Stream(loop)
        before = slice(middle - samples, middle)
        stream.process(song.dry[before], song.wet[before])
        prediction = stream.process(song.dry[part])
        phase = None
        if effect.rate_hz is not None:
            phase = _phase(prediction, song.dry[part], effect, sample_rate, middle)
        scores.append(PrimedScores(seconds, metrics.esr(prediction, song.wet[part]), phase))
    return scores


def _phase(prediction: Tensor, dry: Tensor, effect: Effect, sample_rate: int, start: int) -> PhaseScores:
    """The phase of the prediction in its first and last seconds, against that of the effect from `start` on."""
    size = min(dry.numel(), round(WINDOW_S * sample_rate))
    first, last = slice(0, size), slice(dry.numel() - size, dry.numel())
    lags, errors = [], []
    for part in (first, last):
        truth = start + part.start
        best, error = _best_start(prediction[part], dry[part], effect, sample_rate, truth)
        lags.append((best - truth) * effect.rate_hz / sample_rate)
        errors.append(error)
    cycles = math.remainder(lags[1] - lags[0], 1.0)
    drift_hz = cycles * sample_rate / max(1, last.start)
    return PhaseScores(errors[0], drift_hz, drift_radians_a_minute=2 * math.pi * 60 * drift_hz)


def _best_start(prediction: Tensor, dry: Tensor, effect: Effect, sample_rate: int, start: int) -> tuple[int, float]:
    """The place within a period of `start` from which on the effect is nearest to the prediction; its ESR."""

    def error(place: int) -> float:
        return metrics.esr(prediction, effect(dry, sample_rate, place))

    period = sample_rate / effect.rate_hz
    best, step = min((start + round(period * i / PHASES) for i in range(PHASES)), key=error), period / PHASES
    while (step := step / 2) >= 0.5:
        best = min((max(0, best + round(side * step)) for side in (-1, 0, 1)), key=error)
    return best, error(best)
