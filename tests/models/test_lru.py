"""Linear recurrent units: the scan, forward, the recurrence and the plan agree; states decay and turn as they say."""

import math

import pytest
import torch
from helpers.models import stepped
from torch import Tensor
from torch.nn.functional import pad

from fxemu.engine.streaming.stream import Stream
from fxemu.models import LRU
from fxemu.models.closed_loop import ClosedLoop
from fxemu.models.parts.scan import CHUNK, scan
from fxemu.representations import Raw


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def recurrence(x: Tensor, pole: Tensor) -> Tensor:
    z, steps = torch.zeros_like(x[..., 0]), []
    for now in x.unbind(-1):
        z = pole[:, None] * z + now
        steps.append(z)
    return torch.stack(steps, dim=-1)


@pytest.mark.parametrize("samples", [1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, CHUNK**2 + 1, 3000])
def test_the_scan_is_the_recurrence_with_its_gradient(samples: int) -> None:
    pole = (
        torch.tensor([-1.0 + 2j, -1e-1 + 0.5j, -1e-3 + 0j, -1e-4 + 0.02j], dtype=torch.cdouble).exp().requires_grad_()
    )
    x = torch.complex(noise(4, 3, samples), noise(4, 3, samples, seed=1)).cdouble().requires_grad_()
    expected, z = recurrence(x, pole), scan(x, pole)
    assert torch.allclose(z, expected, rtol=1e-9, atol=1e-9)
    weight = noise(4, 3, samples, seed=2)
    for given, wanted in zip(
        *(torch.autograd.grad((y.real * weight).sum(), (x, pole)) for y in (z, expected)), strict=True
    ):
        assert torch.allclose(given, wanted, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("feedback", [True, False])
@torch.no_grad()
def test_forward_the_recurrence_and_the_renderer_agree_for_long(feedback: bool) -> None:
    """Over as many samples as the states remember; the stream starts after silence was fed, and so do the others."""
    torch.manual_seed(0)
    model = LRU(1, 1, width=6, states=5, longest=1500.0, memory_samples=64, feedback=feedback)
    loop, dry = ClosedLoop(model, Raw(), Raw()), 0.1 * noise(1500)
    loop.limit.fill_(10.0)
    wet = Stream(loop, *torch.zeros(2, loop.warm_up)).process(dry)
    history = [pad(x, (64, 0))[None, None] for x in (dry, wet)]
    assert torch.allclose(model(*history)[0, 0], wet, atol=1e-4)
    assert torch.allclose(stepped(model, *history)[0, 0, 64:], wet, atol=1e-4)


def test_time_constants_are_evenly_spread_over_octaves() -> None:
    """And a state is down to 1/e after its own, having turned as far as it says."""
    layer = LRU(1, 1, states=4, shortest=10.0, longest=10_000.0).layers[0]
    poles = layer.pole().detach().cdouble()
    for pole, time_constant, turn in zip(poles, (10, 100, 1000, 10_000), (0, 1, 2, 3), strict=True):
        after = pole**time_constant
        assert abs(after) == pytest.approx(math.exp(-1), rel=1e-2)
        assert math.remainder(float(after.angle()) - turn, 2 * math.pi) == pytest.approx(0, abs=1e-2)


@torch.no_grad()
def test_a_constant_comes_out_of_every_state_as_it_went_in() -> None:
    """Of those that do not turn."""
    layer = LRU(1, 1, width=1, states=6, shortest=5.0, longest=500.0).layers[0]
    layer.into.weight.fill_(1.0)
    layer.turn.zero_()
    settled = scan(layer.driven(0.7 * torch.ones(1, 1, 8000)), layer.pole())[..., -1]
    assert torch.allclose(settled, torch.complex(*2 * [torch.full((6, 1), 0.7)]), rtol=1e-3)
