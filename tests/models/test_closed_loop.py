"""The readable reference: a loop whose free run is known in closed form, and priming."""

from collections.abc import Callable

import pytest
import torch
from helpers.models import MODELS, free_run, make, one_pole

from fxemu.engine.lockstep.rollout import rollout
from fxemu.engine.streaming.stream import render
from fxemu.models import MLP
from fxemu.models.closed_loop import ClosedLoop, wet_gain
from fxemu.representations import Binary, MuLaw, OneHot, OneHotResidual, Raw


def test_step_response_of_a_one_pole_filter() -> None:
    step = torch.ones(1, 1, 50)
    t = torch.arange(50)
    expected = 0.1 * (1 - 0.9 ** (t + 1)) / (1 - 0.9)
    assert torch.allclose(free_run(one_pole(0.9, 0.1), step)[0, 0], expected, atol=1e-6)


def test_the_limit_is_fed_back_and_heard() -> None:
    loop = one_pole(1.0, 1.0)
    loop.limit.fill_(2.5)
    dry = torch.tensor([[[1.0, 1, 1, 1, -0.5, 0]]])
    assert free_run(loop, dry).flatten().tolist() == pytest.approx([1, 2, 2.5, 2.5, 2, 2])


def test_gradient_goes_through_time() -> None:
    loop = one_pole(0.5, 0.5)
    free_run(loop, torch.ones(1, 1, 3))[0, 0, 2].backward()
    # y[2] = a (1 + b + b^2), so d y[2] / d b = a (1 + 2 b).
    assert loop.predictor.wet.weight.grad.item() == pytest.approx(0.5 * (1 + 2 * 0.5))


def test_teacher_forcing_hears_the_true_past() -> None:
    dry, wet = torch.rand(2, 4, 1, 20)
    predicted, _ = one_pole(0.6, 0.3).teacher_forced(dry, wet)
    assert torch.allclose(predicted, 0.3 * dry[..., 1:] + 0.6 * wet[..., :-1], atol=1e-6)


def test_teacher_forcing_on_its_own_free_run_changes_nothing(make_loop: Callable[..., ClosedLoop]) -> None:
    loop = make_loop("mulaw", "raw")
    dry = torch.rand(2, 1, 100) - 0.5
    free = free_run(loop, dry)
    forced, _ = loop.teacher_forced(dry, free)
    assert torch.allclose(forced, free[..., loop.warm_up :], atol=1e-5)


def test_a_primed_run_goes_on_where_it_was(make_loop: Callable[..., ClosedLoop]) -> None:
    loop = make_loop("mulaw", "mulaw", embedding=3)
    dry = torch.rand(2, 1, 200) - 0.5
    whole = free_run(loop, dry)
    for history in (loop.warm_up, loop.warm_up + 9):
        resumed = free_run(loop, dry[..., 100 - history :], whole[..., 100 - history : 100])
        assert torch.allclose(resumed, whole[..., 100:], atol=1e-5)


@pytest.mark.parametrize(("arguments", "expected"), [({}, 31), ({"context_window": 1, "feedback_window": 1}, 1)])
def test_warm_up(make_loop: Callable[..., ClosedLoop], arguments: dict[str, int], expected: int) -> None:
    assert make_loop(**arguments).warm_up == expected


def test_plan_has_one_step_with_its_representations() -> None:
    mulaw = MuLaw(plain=False, correction=False)
    loop = ClosedLoop(MLP(1, 1, context_window=4, feedback_window=3, layers=1, width=2, embedding=0), mulaw, mulaw)
    kinds = [step.activation.kind for step in loop.plan().steps]
    assert kinds == ["mulaw_compress", "mulaw_compress", "tanh", "identity", "mulaw_expand", "clamp"]


@pytest.mark.parametrize("gain", [2.0**-10, 8.0])
@pytest.mark.parametrize(
    ("family", "representation"),
    [(family, Raw) for family in MODELS] + [("mlp", other) for other in (MuLaw, Binary, OneHot, OneHotResidual)],
)
def test_an_effect_of_another_level_is_the_same_loop_between_its_gain(family, representation, gain) -> None:
    sides = representation(), representation()
    loop = ClosedLoop(make(family, sides[0].channels, sides[1].params), *sides)
    dry, history = torch.rand(2, 1, 200) - 0.5, torch.rand(2, 1, loop.warm_up) - 0.5
    target = torch.rand(2, 1, 200 - loop.warm_up) - 0.5

    def runs() -> list[torch.Tensor]:
        by = loop.gain
        wet = torch.cat((history, target), dim=-1) * by
        forced, params = loop.teacher_forced(dry, wet)
        noisy = loop.disturb(wet, torch.full_like(wet, 0.1))
        free = rollout(loop, dry, history * by).prediction
        return [x / by for x in (render(loop, dry[0, 0]), free, forced, noisy)] + [
            loop.native_loss(params, target * by)
        ]

    with torch.no_grad():
        plain = runs()
        loop.gain.fill_(gain)
        loop.limit.mul_(gain)
        for ours, expected in zip(runs(), plain, strict=True):
            assert torch.allclose(ours, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("peak", "gain"), [(0.0, 1.0), (0.6, 1.0), (1.0, 1.0), (1.1, 1.0), (1.2, 2.0), (3.98, 4.0), (0.001, 2.0**-10)]
)
def test_a_gain_is_a_power_of_two_that_brings_a_peak_near_full_scale(peak: float, gain: float) -> None:
    assert wet_gain(peak) == gain


def test_a_checkpoint_of_before_the_gain_has_none() -> None:
    loop = one_pole(0.5)
    weights = {name: tensor for name, tensor in loop.state_dict().items() if name != "gain"}
    loop.gain.fill_(0.25)
    loop.load_state_dict(weights)
    assert loop.gain == 1
