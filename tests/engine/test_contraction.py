"""The bound on a plan's memory, against runs from different pasts and systems whose decay is known."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fxemu.engine.contraction import ContractionBound, contraction_bound
from fxemu.engine.plan import DRY, WET, Activation, Plan, Product, Term
from fxemu.engine.streaming.stream import render_many
from fxemu.models.closed_loop import ClosedLoop

MakeLoop = Callable[..., ClosedLoop]


def rotation(radius: float, activation: str = "identity") -> Plan:
    """A state that turns by a radian a sample and shrinks by a factor, driven by dry."""
    plan = Plan()
    re, im = plan.state(1), plan.state(1)
    cos, sin = (radius * f(torch.tensor(1.0)).reshape(1) for f in (torch.cos, torch.sin))
    next_re = plan.mix(Product((re,), cos), Product((im,), -sin), Product((DRY,)), activation=Activation(activation))
    next_im = plan.add(Term(re, sin[:, None, None]), Term(im, cos[:, None, None]))
    plan.close(re, next_re)
    plan.close(im, next_im)
    plan.close(WET, plan.mix(Product((next_re,)), Product((next_im,))))
    return plan


@pytest.mark.parametrize("radius", [0.5, 0.999])
def test_the_decay_is_the_spectral_radius(radius: float) -> None:
    found = contraction_bound(rotation(radius))
    assert found.window == 0 and found.decay == pytest.approx(radius, rel=1e-6)
    assert radius ** found.samples(1e-3) == pytest.approx(1e-3, rel=1e-3)


def test_what_does_not_shrink_or_is_not_linear_is_not_guaranteed() -> None:
    assert contraction_bound(rotation(1.0)) is None
    assert contraction_bound(rotation(0.5, "tanh")) is None


@pytest.mark.parametrize("model", ["mlp", "wavenet", "convnet", "linear"])
def test_without_feedback_and_states_the_memory_is_finite(make_loop: MakeLoop, model: str) -> None:
    loop = make_loop(model=model, feedback=False)
    assert contraction_bound(loop.plan()) == ContractionBound(loop.warm_up, 0.0)


@pytest.mark.parametrize(
    "case", [{"model": "gru", "feedback": False}, {"model": "dynamics", "feedback": False}, {"model": "lru"}, {}]
)
def test_gates_and_feedback_are_not_guaranteed(make_loop: MakeLoop, case: dict[str, object]) -> None:
    assert contraction_bound(make_loop(**case).plan()) is None


def apart(loop: ClosedLoop, samples: int) -> Tensor:
    """The difference of two runs over the same noise from different pasts."""
    dry, *pasts = 0.3 * torch.randn(3, 1000 + samples, generator=torch.Generator().manual_seed(0))
    after = [(past[:1000], past[:1000]) for past in pasts]
    one, other = render_many(loop, [dry[1000:]] * 2, after=after)
    return (one - other).abs()


def test_linear_units_without_feedback_come_together_in_the_time_that_is_guaranteed(make_loop: MakeLoop) -> None:
    loop = make_loop(model="lru", feedback=False, layers=2, longest=200.0)
    bound = contraction_bound(loop.plan())
    slowest = max(layer.pole().detach().abs().max().item() for layer in loop.predictor.layers)
    assert bound.decay == pytest.approx(slowest, rel=1e-5)
    difference = apart(loop, 2 * round(bound.samples()))
    assert difference[:10].max() > 1e-3
    assert difference[round(bound.samples()) :].max() < 1e-2 * difference[:10].max()
