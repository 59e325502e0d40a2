"""Errors over held-out settings: of a model that is the effect, none."""

import pytest
import torch
from helpers.models import one_pole

from fxemu.effects import Tanh
from fxemu.effects.knobs import Turned
from fxemu.evaluation import metrics
from fxemu.evaluation.measurements.settings import at_held_out, at_recorded, lines
from fxemu.library.pair import Pair
from fxemu.models.knobs import Knob

KNOB = Knob("gain", 0.5, 2.0, 1.0)


def test_recordings_at_settings_that_were_not_trained_at():
    loop, dry = one_pole(0.0), torch.rand(100)
    songs = [Pair(str(x), dry, 2 * dry, torch.tensor([x])) for x in (0.0, 0.5, 0.5, -1.0)]
    found = at_recorded(loop, songs[:1], songs, [KNOB])
    assert sorted(score.values["gain"] for score in found.settings) == [KNOB.value(-1.0), KNOB.value(0.5)]
    assert at_recorded(loop, songs, songs, [KNOB]) is None


def test_the_median_and_the_worst_setting_are_told():
    # wet = 0.1 dry at any setting, beside tanh(gain dry).
    loop, effect = one_pole(0.0), Turned(lambda settings: Tanh(**settings), [KNOB])
    dry = torch.rand(8000, generator=torch.Generator().manual_seed(0)) - 0.5
    found = at_held_out(loop, [Pair("song", dry, dry)], effect, 8000, torch.tensor([[-0.9], [0.0], [0.9]]))
    errors = [metrics.esr(0.1 * dry, torch.tanh(KNOB.value(x) * dry)) for x in (-0.9, 0.0, 0.9)]
    assert [score.esr for score in found.settings] == pytest.approx(errors, rel=1e-4)
    assert (found.esr_median, found.esr_worst) == pytest.approx(errors[1:], rel=1e-4)
    assert lines(found)[0].endswith(f"(gain={KNOB.value(0.9):.4g})")
    # The best gain is nearer to tanh than a tenth is, everywhere.
    assert all(score.gain_esr < 0.1 < score.esr for score in found.settings)
    assert "3 of 3" in found.outdone and lines(found)[1].endswith(found.outdone)


def test_no_warning_where_the_model_is_the_effect():
    loop, dry = one_pole(0.0), torch.rand(100)
    songs = [Pair(str(x), dry, 0.1 * dry.sign() * dry.abs(), torch.tensor([x])) for x in (0.0, 0.5)]
    found = at_recorded(loop, songs[:1], songs, [KNOB])
    assert found.outdone is None and len(lines(found)) == 1
