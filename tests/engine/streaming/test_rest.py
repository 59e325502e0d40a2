"""A stream begins at rest: what it plays of silence at first is what it plays of it ten seconds later."""

import pytest
import torch
from helpers.models import MODELS, VARIANTS, make, one_pole

from fxemu.engine.plan import WET, Plan, Term
from fxemu.engine.streaming.stream import OSCILLATING, REST_SAMPLES, Stream, render
from fxemu.models.closed_loop import ClosedLoop
from fxemu.models.knobs import Knob
from fxemu.models.oversampled import oversampled
from fxemu.representations import Raw
from fxemu.runtimes.foreign import Foreign

RATE = 44_100
SILENCE, BEGINNING = torch.zeros(10 * RATE), slice(0, RATE // 20)
# -100 dBFS.
INAUDIBLE = 1e-5
# What oscillates begins at its start phase; the dynamics are at rest in silence that is forced on them.
FAMILIES = [name for name in (*MODELS, *VARIANTS) if not make(name).periodic and name != "dynamics"]


def forced(loop: ClosedLoop) -> Stream:
    return Stream(loop, *torch.zeros(2, loop.warm_up))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_render_of_silence_is_the_same_at_first_and_at_last(name: str) -> None:
    loop = ClosedLoop(make(name, feedback=True), Raw(), Raw())
    rest = render(loop, SILENCE)
    assert (rest[BEGINNING] - rest[-1]).abs().max() < INAUDIBLE
    assert (forced(loop).process(SILENCE[BEGINNING]) - rest[-1]).abs().max() > INAUDIBLE, "nothing was fed back"


@pytest.mark.parametrize("factor", [2, 8])
def test_an_oversampled_one_too(factor: int) -> None:
    rest = render(oversampled(ClosedLoop(make("gru"), Raw(), Raw()), factor), SILENCE[: 2 * REST_SAMPLES])
    assert (rest[BEGINNING] - rest[-1]).abs().max() < INAUDIBLE


def test_knobs_stand_where_they_are() -> None:
    loop = ClosedLoop(make("gru"), Raw(), Raw(), (Knob("a", 0.0, 1.0, 0.5),))
    torch.nn.init.normal_(loop.turning.gain, std=0.5)
    rests = []
    for position in (-1.0, 1.0):
        stream = Stream(loop, knobs=torch.tensor([position]))
        assert stream.points(1) == 1, "points are counted from the start"
        rest = stream.process(SILENCE[: 2 * REST_SAMPLES])
        assert (rest[BEGINNING] - rest[-1]).abs().max() < INAUDIBLE
        rests.append(float(rest[-1]))
    assert abs(rests[0] - rests[1]) > 1e-3


def test_a_slow_one_is_played_until_its_state_is_still() -> None:
    """A time constant of 2000 samples, whose output is at 1 in the end, and whose first steps are small."""
    loop = one_pole(1 - 1 / 2000, bias=1 / 2000)
    assert render(loop, SILENCE[:1]) == pytest.approx(1, abs=2e-3)
    assert forced(loop).process(SILENCE[:1]) == pytest.approx(1 / 2000)


@pytest.mark.parametrize("bias", [0.5, 1.0])
def test_one_that_oscillates_begins_after_forced_silence(bias: float) -> None:
    """Between two values: an even number of samples later it is the same."""
    loop = one_pole(-1.0, bias=bias)
    assert torch.equal(render(loop, SILENCE[:50]), forced(loop).process(SILENCE[:50]))
    assert render(loop, SILENCE[:50]).diff().abs().min() > OSCILLATING


def test_one_that_overflows_begins_after_forced_silence() -> None:
    plan = Plan()
    plan.params = plan.add(Term(WET, torch.full((1, 1, 1), 2.0)), bias=torch.ones(1))
    plan.close(WET, plan.params)
    assert render(Foreign(plan, RATE), SILENCE[:4]).tolist() == [1, 3, 7, 15]


def test_what_oscillators_play_starts_at_their_phase() -> None:
    loop = ClosedLoop(make("oscillator"), Raw(), Raw())
    dry = torch.ones(500)
    assert torch.equal(render(loop, dry), forced(loop).process(dry))
