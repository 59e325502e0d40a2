"""Aliased over harmonic energy, against closed forms."""

import math

import pytest

from fxemu.effects import Distortion, Tanh, Tremolo
from fxemu.evaluation.measurements.aliasing import aliasing, aliasing_db
from fxemu.models import MLP
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import Raw

RATE = 44_100


@pytest.mark.parametrize(("power", "expected_db"), [(3, -120.0), (5, 10 * math.log10(1 / (100 + 25)))])
def test_a_power_of_a_sine(power, expected_db):
    """sin^5 x = (10 sin x - 5 sin 3x + sin 5x) / 16: of a sine of 4978 Hz, the last is folded back."""
    found = aliasing_db(lambda tones: [tone.double() ** power for tone in tones], [4978.0], RATE)
    assert found == pytest.approx(expected_db, abs=0.01)


def test_neither_silence_nor_a_note_above_half_the_rate_has_any():
    assert aliasing_db(lambda tones: [0 * tone for tone in tones], [1000.0], RATE) == 0.0
    assert aliasing_db(lambda tones: tones, [1000.0, 4186.0], 8000) == pytest.approx(-120)


def test_the_effects_own_is_beside_the_models():
    loop = ClosedLoop(MLP(1, 1, context_window=4, feedback_window=0, layers=1, width=3), Raw(), Raw())
    found = aliasing(loop, Distortion(oversampling=1), RATE)
    cleaner = aliasing(loop, Distortion(oversampling=8), RATE)
    assert found.model_db == cleaner.model_db < 0 and cleaner.effect_db < found.effect_db - 20
    assert aliasing(loop, Tremolo(), RATE) is None


def test_the_end_of_a_note_is_not_taken_for_aliasing():
    """Filters of oversampling that see beyond the end would leave -60 dB of a sine."""
    clean = Tanh(oversampling=4)
    assert aliasing_db(lambda tones: [clean(tone, RATE) for tone in tones], [4186.0], RATE) < -110
