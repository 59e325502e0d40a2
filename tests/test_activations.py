"""Elementwise functions: their slopes against autograd, and mu-law against its formula."""

import math

import pytest
import torch
from torch import Tensor

from fxemu.activations import (
    FUNCTIONS,
    HIDDEN,
    SLOPES,
    activate,
    activate_,
    hidden_activation,
    mulaw_compress,
    mulaw_expand,
    slope,
)
from fxemu.plan import Activation

each_kind = pytest.mark.parametrize("kind", FUNCTIONS)
each_mu = pytest.mark.parametrize("mu", [1.0, 255.0, 65_535.0])


def grid(dtype: torch.dtype = torch.float64) -> Tensor:
    """-2 to 2, without zero, where some slopes jump."""
    return torch.linspace(-2, 2, 200, dtype=dtype)


def test_every_function_has_a_slope() -> None:
    assert FUNCTIONS.keys() == SLOPES.keys()
    assert set(HIDDEN) < FUNCTIONS.keys()


@each_kind
def test_slope_is_the_derivative(kind: str) -> None:
    activation, x = Activation(kind, 255.0), (0.999 * grid()).requires_grad_()
    y = activate(x, activation)
    (derivative,) = torch.autograd.grad(y.sum(), x)
    assert torch.allclose(slope(y.detach(), activation), derivative, rtol=1e-9, atol=1e-12)


@each_kind
def test_in_place_is_the_same(kind: str) -> None:
    activation, x = Activation(kind, 255.0), grid(torch.float32)
    expected = activate(x.clone(), activation)
    result = activate_(x, activation)
    assert result.data_ptr() == x.data_ptr()
    assert torch.allclose(x, expected, rtol=1e-6, atol=1e-6)


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
    with pytest.raises(ValueError, match="got 'gelu'; choose one of tanh, relu, sigmoid, softsign"):
        hidden_activation("gelu")
