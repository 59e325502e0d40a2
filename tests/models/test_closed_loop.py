"""The readable reference: a loop whose free run is known in closed form, and priming."""

from collections.abc import Callable

import pytest
import torch
from helpers.models import free_run, one_pole

from fxemu.models import MLP
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import MuLaw


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
    loop = ClosedLoop(MLP(1, 1, context_window=4, feedback_window=3, layers=1, width=2, embedding=0), MuLaw(), MuLaw())
    kinds = [step.activation.kind for step in loop.plan().steps]
    assert kinds == ["mulaw_compress", "mulaw_compress", "tanh", "identity", "mulaw_expand", "clamp"]
