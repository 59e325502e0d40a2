"""Errors over held-out settings: of a model that is the effect, none."""

import pytest
import torch
from helpers.models import make, one_pole

from fxemu.effects import Tanh
from fxemu.effects.knobs import Turned
from fxemu.engine.streaming.stream import render
from fxemu.evaluation import metrics
from fxemu.evaluation.measurements.settings import at_held_out, at_recorded, lines
from fxemu.library.pair import Pair
from fxemu.models.closed_loop import ClosedLoop
from fxemu.models.knobs import Knob
from fxemu.representations import Raw

KNOB = Knob("gain", 0.5, 2.0, 1.0)


def test_recordings_at_settings_that_were_not_trained_at():
    loop, dry = one_pole(0.0), torch.rand(100)
    songs = [Pair(str(x), dry, 2 * dry, torch.tensor([x])) for x in (0.0, 0.5, 0.5, -1.0)]
    found = at_recorded(loop, songs, [KNOB], [songs[0].knobs])
    assert sorted(score.values["gain"] for score in found.settings) == [KNOB.value(-1.0), KNOB.value(0.5)]
    assert at_recorded(loop, songs, [KNOB], [song.knobs for song in songs]) is None


def test_the_median_and_the_worst_setting_are_told():
    # wet = 0.1 dry at any setting, beside tanh(gain dry).
    loop, effect = one_pole(0.0), Turned(lambda settings: Tanh(**settings), [KNOB])
    dry = torch.rand(8000, generator=torch.Generator().manual_seed(0)) - 0.5
    settings = torch.tensor([[-0.9], [0.0], [0.9]])
    found = at_held_out(loop, [Pair("song", dry, dry)], effect, 8000, settings, [torch.zeros(1)])
    errors = [metrics.esr(0.1 * dry, torch.tanh(KNOB.value(x) * dry)) for x in (-0.9, 0.0, 0.9)]
    assert [score.esr for score in found.settings] == pytest.approx(errors, rel=1e-4)
    assert (found.esr_median, found.esr_worst) == pytest.approx(errors[1:], rel=1e-4)
    assert lines(found)[0].endswith(f"(gain={KNOB.value(0.9):.4g})")
    # The best gain is nearer to tanh than a tenth is, everywhere.
    assert all(score.gain_esr < 0.1 < score.esr for score in found.settings)
    assert "3 of 3" in found.outdone and lines(found)[-1].endswith(found.outdone)


def test_the_nearest_setting_that_was_trained_at_stands_beside_the_model():
    dry = torch.rand(2000, generator=torch.Generator().manual_seed(0)) - 0.5
    loop = ClosedLoop(make("gru"), Raw(), Raw(), [KNOB])
    trained = [torch.tensor([-1.0]), torch.tensor([0.5])]
    # A box that sounds at -0.4 as the model does at -1: with the knob there its error is none.
    test = Pair("song", dry, render(loop.at(trained[0]), dry), torch.tensor([-0.4]))
    found = at_recorded(loop, [test], [KNOB], trained)
    assert found.nearest_esr_median == found.settings[0].nearest_esr == 0 < found.settings[0].esr
    assert lines(found)[1].endswith("median 0.0e+00")


def test_no_warning_where_the_model_is_the_effect():
    loop, dry = one_pole(0.0), torch.rand(100)
    songs = [Pair(str(x), dry, 0.1 * dry.sign() * dry.abs(), torch.tensor([x])) for x in (0.0, 0.5)]
    found = at_recorded(loop, songs, [KNOB], [songs[0].knobs])
    assert found.outdone is None and len(lines(found)) == 2
