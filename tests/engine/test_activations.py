"""Activations: mu-law against its formula, softmax and clamp."""

import math

import pytest
import torch
from torch import Tensor

from fxemu.engine.activations import activate, hidden_activation, mulaw_compress, mulaw_expand
from fxemu.engine.plan import Activation

each_mu = pytest.mark.parametrize("mu", [1.0, 255.0, 65_535.0])


def grid(dtype: torch.dtype = torch.float64) -> Tensor:
    """-2 to 2, without zero."""
    return torch.linspace(-2, 2, 200, dtype=dtype)


def test_softmax_is_over_the_units() -> None:
    y = activate(torch.randn(2, 5, 7), Activation("softmax"))
    assert torch.allclose(y.sum(1), torch.ones(2, 7))


def test_clamp_has_its_limit() -> None:
    y = activate(grid(), Activation("clamp", 0.3))
    assert torch.equal(y, grid().clamp(-0.3, 0.3))


@each_mu
def test_mulaw_formula(mu: float) -> None:
    x = grid()
    expected = [math.copysign(math.log(1 + mu * abs(v)) / math.log(1 + mu), v) for v in x.tolist()]
    assert mulaw_compress(x, mu).tolist() == pytest.approx(expected, rel=1e-12)


@each_mu
def test_mulaw_fixed_points_and_oddness(mu: float) -> None:
    ends = torch.tensor([-1.0, 0.0, 1.0])
    assert torch.equal(mulaw_compress(ends, mu), ends)
    assert torch.allclose(mulaw_expand(ends, mu), ends, atol=1e-6)
    assert mulaw_expand(ends, mu)[1] == 0
    for function in (mulaw_compress, mulaw_expand):
        assert torch.equal(function(-grid(), mu), -function(grid(), mu))


def test_mulaw_expand_is_the_inverse() -> None:
    x = torch.linspace(-1, 1, 2001)
    assert (mulaw_expand(mulaw_compress(x, 255.0), 255.0) - x).abs().max() < 1e-6
    assert (mulaw_compress(mulaw_expand(x, 255.0), 255.0) - x).abs().max() < 1e-6


def test_hidden_activations_by_name() -> None:
    assert hidden_activation("relu") == Activation("relu")
    with pytest.raises(ValueError, match=r"got 'gelu'; choose one of .*tanh, .*softsign"):
        hidden_activation("gelu")
