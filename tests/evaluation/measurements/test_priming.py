"""Scores of free runs from within a song: by length of priming, and an oscillator's phase."""

import pytest
import torch

from fxemu.effects import Bitcrusher, Effect, Tanh, Tremolo
from fxemu.evaluation.measurements.priming import PRIMED_S, primed
from fxemu.evaluation.metrics import gain_error_db
from fxemu.library.pair import Pair
from fxemu.models import Oscillator
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import Raw

RATE = 8000


def song(effect: object) -> Pair:
    dry = torch.rand(12 * RATE, generator=torch.Generator().manual_seed(0)) - 0.5
    return Pair("song", dry, effect(dry, RATE, 0))


def loop_at(rate_hz: float) -> ClosedLoop:
    """A tremolo's oscillator, running at another rate than it should if that is not 3.7 Hz."""
    loop = ClosedLoop(Oscillator(harmonics=1, memory_samples=10), Raw(), Raw())
    true = song(Tremolo(3.7))
    loop.predictor.fit([(true.dry, true.wet)])
    loop.predictor.rate.data.mul_(rate_hz / 3.7)
    return loop


def test_priming_helps_and_phase_and_drift_are_told() -> None:
    scores = primed(loop_at(3.75), song(Tremolo(3.7)), Tremolo(3.7), RATE)
    assert [score.primed_s for score in scores] == list(PRIMED_S)
    unprimed, *_, longest = scores
    # 0.05 Hz too fast for 8 s: nearly half a cycle is lost in the end, however it was primed.
    assert longest.esr > 0.1
    assert longest.phase.drift_hz == pytest.approx(0.05, abs=0.005)
    assert longest.phase.drift_radians_a_minute == pytest.approx(2 * 3.1416 * 3, rel=0.1)
    assert unprimed.phase.esr_best_phase < 0.05


def test_at_the_right_rate_it_stays_locked() -> None:
    unprimed, *_, longest = primed(loop_at(3.7), song(Tremolo(3.7)), Tremolo(3.7), RATE)
    assert longest.esr < 1e-4 < 0.05 < unprimed.esr
    assert unprimed.phase.esr_best_phase < 1e-3
    assert abs(longest.phase.drift_hz) < 0.01


@pytest.mark.parametrize("effect", [Tanh(), Bitcrusher()])
def test_an_effect_without_an_oscillator_has_no_phase(effect: Effect) -> None:
    scores = primed(loop_at(3.7), song(effect), effect, RATE)
    assert scores and all(score.phase is None for score in scores)


def test_gain_error_is_that_of_the_gain_in_db() -> None:
    target = torch.rand(4410) - 0.5
    assert gain_error_db(target * 10 ** (0.5 / 20), target) == pytest.approx(0.5, abs=1e-4)
    assert gain_error_db(target, target) < 1e-9
    # Silence counts for nothing.
    quiet = torch.cat((target, 1e-5 * target))
    assert gain_error_db(torch.cat((target, target)), quiet) < 1e-9
