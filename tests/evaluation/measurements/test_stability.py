"""Stability of loops whose behaviour is known in closed form."""

import math

import pytest
import torch
from helpers.models import one_pole

from fxemu.evaluation.measurements.stability import forgets_ms, stability

RATE = 8000


@pytest.mark.parametrize("b", [0.5, 0.9, 0.99])
def test_a_disturbance_dies_away_as_the_pole_says(b: float) -> None:
    """The last sample of the history is off by d; n samples later the run is off by d b^n."""
    noise = torch.rand(1, generator=torch.Generator().manual_seed(0)) * 2 - 1
    expected = math.log(1e-3 / abs(float(noise))) / math.log(b)
    found = forgets_ms(one_pole(b), torch.zeros(RATE), RATE)
    assert found == pytest.approx(1000 * expected / RATE, abs=1000 * 1.5 / RATE)


def test_a_loop_that_never_forgets_says_so() -> None:
    assert forgets_ms(one_pole(1.0), torch.zeros(RATE), RATE) is None


def test_a_loop_without_feedback_forgets_at_once() -> None:
    assert forgets_ms(one_pole(0.0), torch.zeros(RATE), RATE) == 0.0


def test_a_stable_loop_comes_back_to_rest() -> None:
    scores = stability(one_pole(0.9, bias=0.01), torch.zeros(2 * RATE), RATE)
    assert scores.rest == pytest.approx(0.1, rel=1e-3)  # 0.01 / (1 - 0.9)
    assert scores.rest_peak == pytest.approx(scores.rest, rel=1e-4)
    assert scores.after_square < 1e-5 and scores.after_click < 1e-5
    # A full-scale square wave through 0.1 / (1 - 0.9 z^-1) nearly reaches 1, and the rest is added.
    assert scores.largest == pytest.approx(1.1 / 1.2, rel=0.05)


def test_a_loop_that_swings_in_silence_is_not_at_rest() -> None:
    """y[t] = -y[t-1] but for a bias: every other sample is 0."""
    scores = stability(one_pole(-1.0, bias=0.1), torch.zeros(2 * RATE), RATE)
    assert scores.rest == pytest.approx(0.1, rel=1e-3)


def test_an_unstable_loop_runs_into_its_limit_and_stays_there() -> None:
    scores = stability(one_pole(1.05), torch.zeros(2 * RATE), RATE)
    assert scores.largest == pytest.approx(1.0)
    assert scores.after_click > 1
