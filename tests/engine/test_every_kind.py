"""Every kind of step in the loops, in one predictor, against the same in PyTorch."""

import pytest
import torch
from helpers.models import free_run
from torch import Tensor, nn

from fxemu.engine.activations import RECORDS, activate
from fxemu.engine.lockstep import lanes
from fxemu.engine.lockstep.rollout import rollout
from fxemu.engine.lookup import look_up
from fxemu.engine.plan import Activation, Plan, Product, Term
from fxemu.engine.streaming.stream import render
from fxemu.models import Predictor
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import Raw

UNITS = 6


class Everything(Predictor):
    """A table, a rotation, a running average, products, windows with a dilation, and an activation of any kind.

    Its state: the rotation (re, im), the average, the last three products and the last hidden value.
    """

    feedback, receptive_field = True, 31

    def __init__(self, kind: str, nearest: bool = False) -> None:
        super().__init__()
        self.activation, self.nearest = Activation(kind, 20.0 if kind.startswith("mulaw") else 0.6), nearest
        generator = torch.Generator().manual_seed(0)
        shapes = {"table": (9, 6), "taps": (6, 6, 2), "out": (1, 6, 2), "decay": (6,), "angle": (6,), "gain": (6,)}
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.randn(shape, generator=generator) * 0.25))

    def coefficients(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.angle.cos() * 0.9, self.angle.sin() * 0.9, self.decay.sigmoid()

    def forward(self, dry: Tensor, wet: Tensor) -> Tensor:
        raise NotImplementedError

    def initial_state(self, batch: int) -> list[Tensor]:
        return [torch.zeros(batch, UNITS)] * 7

    def step(self, dry: Tensor, wet: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        re, im, average, *products, last = state
        cos, sin, decay = self.coefficients()
        seen = look_up(self.table, wet[..., None], self.nearest)[..., 0]
        re, im = seen + cos * re - sin * im, sin * re + cos * im
        average = decay * average + self.gain * seen
        products = [*products, seen * re]
        taken = torch.einsum("bwn,uwn->bu", torch.stack((products[1], products[3]), -1), self.taps)
        hidden = average + activate((taken + dry)[..., None], self.activation)[..., 0]
        params = torch.einsum("bwn,uwn->bu", torch.stack((last, hidden), -1), self.out)
        return params, [re, im, average, *products[1:], hidden]

    def plan(self, plan: Plan, dry: int, wet: int) -> int:
        re, im, average = (plan.state(UNITS) for _ in range(3))
        cos, sin, decay = self.coefficients()
        seen = plan.lookup(wet, self.table, self.nearest)
        next_re = plan.mix(Product((seen,)), Product((re,), cos), Product((im,), -sin))
        plan.close(im, plan.mix(Product((re,), sin), Product((im,), cos)))
        plan.close(re, next_re)
        next_average = plan.mix(Product((average,), decay), Product((seen,), self.gain))
        plan.close(average, next_average)
        product = plan.mix(Product((seen, next_re)))
        given = Term(dry, torch.ones(UNITS, 1, 1))
        active = plan.add(Term(product, self.taps, dilation=2), given, activation=self.activation)
        return plan.add(Term(plan.mix(Product((active,)), Product((next_average,))), self.out))


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) - 0.5


def zero_if_none(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def make(kind: str, nearest: bool = False) -> ClosedLoop:
    return ClosedLoop(Everything(kind, nearest), Raw(), Raw())


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "elsewhere"])
@pytest.mark.parametrize("nearest", [False, True])
@pytest.mark.parametrize("kind", RECORDS)
def test_rollout_and_its_gradient(monkeypatch: pytest.MonkeyPatch, kind: str, nearest: bool, compiled: bool) -> None:
    monkeypatch.setattr(lanes, "compiled", lambda where: compiled)
    loop = make(kind, nearest)
    history, dry = noise(5, 1, 30, seed=1), noise(5, 1, 30 + 25)
    results = []
    for run in (free_run, rollout):
        loop.zero_grad()
        wet = run(loop, dry, history)
        wet = wet[0] if run is rollout else wet
        (wet * noise(*wet.shape, seed=2)).sum().backward()
        results.append((wet.detach(), {name: zero_if_none(p).clone() for name, p in loop.named_parameters()}))
    (expected, expected_gradients), (wet, gradients) = results
    assert expected.std() > 0.02
    assert torch.allclose(wet, expected, atol=1e-5)
    for name, gradient in expected_gradients.items():
        assert gradient.norm() > 0 or kind in ("argmax", "inverse"), name
        assert (gradients[name] - gradient).norm() <= 1e-4 * gradient.norm(), name


@pytest.mark.parametrize("kind", RECORDS)
@torch.no_grad()
def test_render(kind: str) -> None:
    loop, dry = make(kind), noise(300)
    assert torch.allclose(render(loop, dry), free_run(loop, dry[None, None])[0, 0], atol=1e-5)
