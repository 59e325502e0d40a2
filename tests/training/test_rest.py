"""Silence, as a model makes it, is what the effect makes of it."""

import pytest
import torch
from helpers.models import MODELS
from torch import nn

from fxemu.engine.streaming.stream import render
from fxemu.models.closed_loop import ClosedLoop
from fxemu.models.knobs import Knob
from fxemu.representations import OneHot, Raw
from fxemu.representations.mulaw import MuLaw
from fxemu.training.rest import bring_to_rest

SILENCE = torch.zeros(8000)


def loop_of(family: str, representation: type = Raw, **more: object) -> ClosedLoop:
    torch.manual_seed(0)
    inside, outside = representation(), representation()
    # Nets that have not learned anything do not rest with feedback that is companded.
    predictor = MODELS[family](inside.channels, outside.params, feedback=representation is Raw)
    loop = ClosedLoop(predictor, inside, outside, **more)
    loop.gain.fill_(0.5)
    return loop


@pytest.mark.parametrize("representation", [Raw, MuLaw])
@pytest.mark.parametrize("family", ["linear", "mlp", "gru", "lstm", "convnet", "lru", "wavenet"])
@pytest.mark.parametrize("rest", [0.0, 0.01])
def test_silence_is_what_the_effect_makes_of_it(family: str, representation: type, rest: float) -> None:
    """An effect that still settles a little is one that rests."""
    loop = loop_of(family, representation)
    before = float(render(loop, SILENCE)[-1])
    weights = loop.state_dict()
    trained = bring_to_rest(loop, rest + 4e-6 * torch.linspace(1, 0, 8000))
    after = float(render(loop, SILENCE)[-1])
    assert abs(after - rest) < 1e-5 < abs(before - rest)
    # With what it was the model is what it was.
    assert len(trained) == 1 and trained.keys() <= weights.keys()
    loop.load_state_dict(weights | trained)
    assert float(render(loop, SILENCE)[-1]) == before


@pytest.mark.parametrize(
    ("family", "representation", "more", "rest"),
    [
        ("gru", Raw, {}, torch.sin(torch.arange(8000) / 100)),
        ("gru", OneHot, {}, SILENCE),
        ("gru", Raw, {"knobs": (Knob("drive_db", 0.0, 40.0, 20.0),)}, SILENCE),
        ("octave_gain", Raw, {}, SILENCE),
    ],
    ids=["a hum", "classes", "knobs", "no last bias"],
)
def test_what_cannot_be_shifted_stays_as_it_is(family, representation, more, rest) -> None:
    loop = loop_of(family, representation, **more)
    before = [weights.clone() for weights in loop.parameters()]
    assert bring_to_rest(loop, rest) == {}
    assert all(torch.equal(a, b) for a, b in zip(before, loop.parameters(), strict=True))


def test_a_shift_that_brings_it_no_nearer_is_taken_back() -> None:
    """A loop with a gain of 3 stays where it begins, in silence, and leaves any other rest that it is brought to."""
    loop = loop_of("linear")
    for weights in loop.parameters():
        nn.init.zeros_(weights)
    loop.predictor.wet.weight.data[..., -1] = 3.0
    assert bring_to_rest(loop, SILENCE + 0.01) == {}
    assert torch.equal(render(loop, SILENCE), SILENCE)
