"""Knobs in the engines: every reader of a plan against the sample-by-sample reference."""

import pytest
import torch
from helpers.models import free_run, make
from torch import Tensor

from fxemu.engine.lockstep import lanes
from fxemu.engine.lockstep.rollout import continue_rollout, rollout
from fxemu.engine.plan import PERIOD
from fxemu.engine.streaming.stream import SHORT, Stream, render
from fxemu.models.closed_loop import ClosedLoop
from fxemu.models.knobs import Knob
from fxemu.representations import MuLaw, Raw

KNOBS = Knob("drive_db", 0.0, 40.0, 20.0), Knob("lowpass_hz", 500.0, 8000.0, 2000.0)
FAMILIES = ["mlp", "gru", "lstm", "lru", "wavenet", "wavenet, gated, one array", "convnet", "octave_gain", "dynamics"]
# Whose first layer alone the knobs turn.
FAMILIES += ["mlp by inputs", "gru by inputs", "convnet by inputs"]
each_family = pytest.mark.parametrize("name", FAMILIES)
each_feedback = pytest.mark.parametrize("feedback", [True, False])


def made(name: str, feedback: bool = True, kind: type = Raw) -> ClosedLoop:
    sample = kind()
    family, conditioning = name.removesuffix(" by inputs"), "inputs" if name.endswith("inputs") else "scales"
    predictor = make(family, sample.channels, sample.params, feedback=feedback)
    loop = ClosedLoop(predictor, sample, sample, KNOBS, conditioning)
    if name == "dynamics":
        torch.nn.init.normal_(loop.turning.moves, std=0.3)
        torch.nn.init.uniform_(loop.turning.centres, -1, 1)
    elif conditioning == "inputs":
        torch.nn.init.normal_(loop.turning.weight, std=0.1)
    elif kind is Raw:
        torch.nn.init.normal_(loop.turning.gain, std=0.03)
    return loop


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) - 0.5


@each_family
@each_feedback
@torch.no_grad()
def test_knobs_that_move_are_streamed_as_stepped(name: str, feedback: bool) -> None:
    loop, dry, knobs = made(name, feedback), noise(400), 2 * noise(2, 400, seed=1)
    expected = free_run(loop, dry[None, None], knobs=knobs[None])[0, 0]
    stream, points = Stream(loop, knobs=knobs[:, 0]), torch.cat((knobs[:, PERIOD::PERIOD], knobs[:, -1:]), dim=1)
    played = []
    for x in dry.split([64, 1, SHORT + 1, 17, 400 - 64 - 1 - SHORT - 1 - 17]):
        begun = stream.points(x.numel())
        played.append(stream.process(x, knobs=points[:, :begun]))
        points = points[:, begun:]
    assert torch.allclose(torch.cat(played), expected, atol=1e-5)


@each_family
@torch.no_grad()
def test_knobs_that_stand_still_may_as_well_be_biases(name: str) -> None:
    loop, dry, at = made(name), noise(300), torch.tensor([0.7, -0.4])
    baked = loop.at(at)
    assert baked.plan().knobs is None
    expected = free_run(loop, dry[None, None], knobs=at[None, :, None].expand(1, 2, 300))[0, 0]
    assert torch.allclose(render(baked, dry), expected, atol=1e-5)
    assert not torch.allclose(render(loop.at(-at), dry), expected, atol=1e-3)


@each_family
@each_feedback
def test_rollouts_and_their_gradients_with_a_setting_for_each_stream(name: str, feedback: bool) -> None:
    loop = made(name, feedback)
    history = loop.warm_up + 3
    dry, wet, knobs = noise(3, 1, history + 30), 0.5 * noise(3, 1, history, seed=1), 2 * noise(3, 2, 1, seed=2)
    weights = noise(3, 1, 30, seed=3)
    run = rollout(loop, dry, wet, knobs)
    gradients = torch.autograd.grad((run.prediction * weights).sum(), list(loop.parameters()), allow_unused=True)
    for stream, at in enumerate(knobs[..., 0]):
        alone = rollout(loop.at(at), dry[stream, None], wet[stream, None])
        assert torch.allclose(alone.prediction[0], run.prediction[stream], atol=1e-5)
    moving = rollout(loop, dry, wet, knobs.expand(-1, -1, history + 30)).prediction
    assert torch.allclose(moving, run.prediction, atol=1e-5)
    expected = torch.autograd.grad((moving * weights).sum(), list(loop.parameters()), allow_unused=True)
    for (label, _), mine, other in zip(loop.named_parameters(), gradients, expected, strict=True):
        assert mine is None or torch.allclose(mine, other, atol=1e-4, rtol=1e-3), label


@pytest.mark.parametrize(("name", "kind"), [*((name, Raw) for name in FAMILIES), ("mlp", MuLaw), ("gru", MuLaw)])
def test_teacher_forcing_is_that_of_the_model_at_the_setting(name: str, kind: type) -> None:
    loop = made(name, kind=kind)
    dry, wet, knobs = noise(2, 1, loop.warm_up + 20), noise(2, 1, loop.warm_up + 20, seed=1), 2 * noise(2, 2, 1)
    prediction, _ = loop.teacher_forced(dry, wet, knobs)
    for stream, at in enumerate(knobs[..., 0]):
        alone, _ = loop.at(at).teacher_forced(dry[stream, None], wet[stream, None])
        assert torch.allclose(alone[0], prediction[stream], atol=1e-5)


@pytest.mark.parametrize("name", ["mlp", "gru"])
def test_rollouts_in_pytorch_s_loops_are_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = made(name)
    dry, wet, knobs = noise(2, 1, loop.warm_up + 20), noise(2, 1, loop.warm_up), 2 * noise(2, 2, loop.warm_up + 20)

    def found() -> list[Tensor]:
        run = rollout(loop, dry, wet, knobs)
        return [run.prediction, *torch.autograd.grad(run.prediction.square().sum(), list(loop.parameters()))]

    compiled = found()
    monkeypatch.setattr(lanes, "compiled", lambda where: False)
    assert all(torch.allclose(a, b, atol=1e-5, rtol=1e-4) for a, b in zip(compiled, found(), strict=True))


@pytest.mark.parametrize("name", ["mlp", "gru"])
def test_a_rollout_continues_with_knobs_that_have_moved(name: str) -> None:
    loop = made(name)
    history = loop.warm_up
    dry, wet = noise(2, 1, history + 40), noise(2, 1, history)
    # Slowly: the end of what is given counts as the next point.
    knobs = noise(2, 2, 1, seed=2) + torch.linspace(-0.02, 0.02, history + 40)
    whole = rollout(loop, dry, wet, knobs).prediction
    first = rollout(loop, dry[..., : history + 15], wet, knobs[..., : history + 15])
    rest = continue_rollout(loop, dry[..., 15:], first.past, 25, knobs[..., 15:]).prediction
    assert torch.allclose(torch.cat((first.prediction, rest), dim=-1), whole, atol=1e-3)
    still = rollout(loop, dry, wet, knobs[..., :1]).prediction
    assert not torch.allclose(still, whole, atol=3e-3)


def test_knobs_that_are_missing_or_too_many_are_refused() -> None:
    loop, plain = made("mlp"), ClosedLoop(make("mlp"), Raw(), Raw())
    dry, wet = noise(1, 1, loop.warm_up + 5), noise(1, 1, loop.warm_up)
    for refused, knobs in ((loop, None), (loop, noise(1, 3, 1)), (plain, noise(1, 2, 1))):
        with pytest.raises(ValueError, match="knobs"):
            rollout(refused, dry, wet, knobs)
