"""One contract for every representation, then mu-law's own."""

import inspect

import pytest
import torch
from torch import Tensor

import fxemu.representations
from fxemu.engine.batch import evaluate
from fxemu.plan import DRY, Plan, Term
from fxemu.representations import MuLaw, Raw, Representation

CLASSES = [getattr(fxemu.representations, name) for name in fxemu.representations.__all__]
each = pytest.mark.parametrize(
    "make", [c for c in CLASSES if not inspect.isabstract(c)], ids=lambda make: make.__name__
)


def samples() -> Tensor:
    """(2, 1, 1001), from -1 to 1 with both ends and zero."""
    x = torch.linspace(-1, 1, 1001)
    return torch.stack((x, x.flip(0)))[:, None]


@each
def test_decode_undoes_encode(make: type[Representation]) -> None:
    representation, x = make(), samples()
    features = representation.encode(x)
    assert features.shape == (2, representation.channels, 1001)
    if representation.channels == representation.params:
        assert (representation.decode(features) - x).abs().max() <= 1e-6


@each
def test_gradients_flow_both_ways(make: type[Representation]) -> None:
    representation = make()
    x = (samples() + 1e-4).requires_grad_()
    representation.encode(x).sum().backward()
    params = torch.linspace(-1, 1, 100).repeat(1, representation.params, 1).requires_grad_()
    decoded = representation.decode(params)
    decoded.sum().backward()
    assert decoded.shape == (1, 1, 100)
    for grad in (x.grad, params.grad):
        assert torch.isfinite(grad).all()
        assert (grad != 0).all()


@each
def test_plans_compute_the_same(make: type[Representation]) -> None:
    representation, plan, x = make(), Plan(), samples()
    features = representation.plan_encode(plan, DRY)
    spread = torch.linspace(0.5, 1, representation.params)[:, None, None]
    params = plan.add(Term(DRY, spread))
    decoded = representation.plan_decode(plan, params)
    values = evaluate(plan, {DRY: x}, {features, decoded})
    assert torch.allclose(values[features], representation.encode(x), atol=1e-6)
    assert torch.allclose(values[decoded], representation.decode(values[params]), atol=1e-6)


def test_raw_is_the_samples() -> None:
    assert torch.equal(Raw().encode(samples()), samples())
    assert torch.equal(Raw().decode(samples()), samples())


def test_mulaw_known_values() -> None:
    # ln(1 + 255 / 255) / ln 256 = 1 / 8.
    encoded = MuLaw(255).encode(torch.tensor([[[-1, -1 / 255, 0, 1 / 255, 1]]]))
    assert encoded.flatten().tolist() == pytest.approx([-1, -0.125, 0, 0.125, 1], abs=1e-6)


@pytest.mark.parametrize("mu", [0.5, 65_536, -1, float("nan")])
def test_mulaw_range(mu: float) -> None:
    with pytest.raises(ValueError, match=f"mu: got {mu}; must be from 1 to 65535"):
        MuLaw(mu)
