"""Sweeps of a knob: the model and the effect turn alike, from end to end."""

import torch
from helpers.models import free_run, make

from fxemu.effects import Distortion, Tanh
from fxemu.effects.knobs import Turned
from fxemu.evaluation.measurements.sweeps import SECONDS, sweep
from fxemu.library.pair import Pair
from fxemu.models.closed_loop import ClosedLoop
from fxemu.models.knobs import Knob
from fxemu.representations import Raw

RATE = 400  # of 4 s, so that the reference is quick


@torch.no_grad()
def test_a_knob_turns_evenly_from_its_lowest_value_to_its_highest():
    knob = Knob("gain", 0.5, 2.0, 1.0)
    effect, loop = Turned(lambda settings: Tanh(**settings), [knob]), ClosedLoop(make("mlp"), Raw(), Raw(), [knob])
    torch.nn.init.normal_(loop.turning.gain, std=0.03)
    dry = torch.rand(2000, generator=torch.Generator().manual_seed(0)) - 0.5
    dry[0] = 1.0  # the peak, around which the seconds lie
    sounds = sweep(loop, Pair("song", dry, dry), effect, 0, RATE)
    assert torch.equal(sounds["dry"], dry[: SECONDS * RATE])
    line = torch.linspace(-1, 1, SECONDS * RATE + 1)
    values = knob.track(line[:-1])
    torch.testing.assert_close(sounds["target"], torch.tanh(values * sounds["dry"].double()).float())
    expected = free_run(loop, sounds["dry"][None, None], knobs=line[None, None])
    torch.testing.assert_close(sounds["prediction"], expected[0, 0], atol=1e-4, rtol=0)


def test_an_effect_that_does_not_follow_has_no_target():
    knobs = [Knob("drive_db", 0.0, 40.0, 20.0), Knob("highpass_hz", 20.0, 200.0, 80.0)]
    effect = Turned(lambda settings: Distortion(**settings), knobs)
    assert not effect.follows
    loop, dry = ClosedLoop(make("mlp"), Raw(), Raw(), knobs), torch.rand(100)
    assert list(sweep(loop, Pair("song", dry, dry), effect, 1, RATE)) == ["dry", "prediction"]
