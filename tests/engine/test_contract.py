"""One contract: every kind of activation and of step, in one predictor, by every reader of a plan.

The predictor is written out by hand below; the plan sample by sample in PyTorch must be that, and every other reader
must be the plan.
"""

import ctypes
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
import torch
from helpers.models import free_run
from torch import Tensor, nn

from fxemu.engine.activations import RECORDS, activate
from fxemu.engine.feedforward import evaluate
from fxemu.engine.lockstep import lanes
from fxemu.engine.lockstep.rollout import forced, rollout
from fxemu.engine.lookup import look_up
from fxemu.engine.partition import Partition
from fxemu.engine.plan import DRY, Activation, Layer, Lookup, Mix, Part, Plan, Product, State, Term
from fxemu.engine.step import step_by_step
from fxemu.engine.streaming.stream import render
from fxemu.models import Predictor
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import Raw
from fxemu.runtimes import Model
from fxemu.runtimes.c import C
from fxemu.runtimes.onnx import Onnx
from fxemu.runtimes.torchscript import TorchScript

UNITS, RATE = 6, 44_100
each_kind = pytest.mark.parametrize("kind", RECORDS)
# Factors on what goes into the activation: within +-1, where most are nearly straight, and up to +-20.
each_level = pytest.mark.parametrize("level", [1.0, 40.0], ids=["quiet", "loud"])


class Everything(Predictor):
    """Of dry: a window, an activation, half of it, a table. In the loop: a table, a rotation, a running average,
    products, windows with a dilation, and the activation again.
    """

    # Long enough for the rotation to come to rest in silence.
    feedback, receptive_field = True, 61

    def __init__(self, kind: str, nearest: bool = False, level: float = 1.0) -> None:
        super().__init__()
        self.level = level
        self.activation, self.nearest = Activation(kind, 20.0 if kind.startswith("mulaw") else 0.6), nearest
        generator = torch.Generator().manual_seed(0)
        shapes = {
            "window": (12, 1, 9), "table": (9, 6), "taps": (6, 6, 2), "out": (1, 6, 2), "decay": (6,), "angle": (6,),
            "gain": (6,),
        }  # fmt: skip
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.randn(shape, generator=generator) * 0.25))

    def coefficients(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.angle.cos() * 0.75, self.angle.sin() * 0.75, self.decay.sigmoid()

    def by_hand(self, dry: Tensor) -> Tensor:
        """A free run from silence over dry (T,): (T,)."""
        cos, sin, decay = self.coefficients()
        past = torch.cat((torch.zeros(8), dry)).unfold(0, 9, 1)
        outside = self._activated(self.level * past @ self.window[:, 0].T)[:, 6:] + self._found(dry)
        zero = torch.zeros(1, UNITS)
        re = im = average = last = zero
        products, wet = [zero] * 3, [torch.zeros(())]
        for t in range(dry.numel()):
            seen = self._found(wet[-1][None])
            re, im = seen + cos * re - sin * im, sin * re + cos * im
            average = decay * average + self.gain * seen
            products = [*products[-3:], seen * re]
            taken = products[1] @ self.taps[..., 0].T + products[3] @ self.taps[..., 1].T
            hidden = average + self._activated(taken + self.level * dry[t]) * outside[t]
            wet.append((last @ self.out[..., 0].T + hidden @ self.out[..., 1].T)[0, 0].clamp(-1.2, 1.2))
            last = hidden
        return torch.stack(wet[1:])

    def _activated(self, x: Tensor) -> Tensor:
        """x (T, U)."""
        return activate(x.T[None], self.activation)[0].T

    def _found(self, x: Tensor) -> Tensor:
        """Rows at x (T,)."""
        return look_up(self.table, x[None, None], self.nearest)[0].T

    def plan(self, plan: Plan, dry: int, wet: int) -> int:
        re, im, average = (plan.state(UNITS) for _ in range(3))
        cos, sin, decay = self.coefficients()
        wide = plan.add(Term(dry, self.level * self.window), activation=self.activation)
        half = plan.part(wide, UNITS, UNITS)
        outside = plan.mix(Product((half,)), Product((plan.lookup(dry, self.table, self.nearest),)))
        seen = plan.lookup(wet, self.table, self.nearest)
        next_re = plan.mix(Product((seen,)), Product((re,), cos), Product((im,), -sin))
        plan.close(im, plan.mix(Product((re,), sin), Product((im,), cos)))
        plan.close(re, next_re)
        next_average = plan.mix(Product((average,), decay), Product((seen,), self.gain))
        plan.close(average, next_average)
        product = plan.mix(Product((seen, next_re)))
        given = Term(dry, torch.full((UNITS, 1, 1), self.level))
        active = plan.add(Term(product, self.taps, dilation=2), given, activation=self.activation)
        return plan.add(Term(plan.mix(Product((active, outside)), Product((next_average,))), self.out))


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) - 0.5


def gradients(loop: ClosedLoop) -> dict[str, Tensor]:
    return {name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in loop.named_parameters()}


def make(kind: str, nearest: bool = False, level: float = 1.0) -> ClosedLoop:
    loop = ClosedLoop(Everything(kind, nearest, level), Raw(), Raw())
    # So that no reader's error is hidden by the limit.
    loop.limit.fill_(1.2 if level == 1 else 1e4)
    return loop


@cache
@torch.no_grad()
def alone(kind: str, level: float) -> tuple[ClosedLoop, Tensor, Tensor]:
    """A loop, dry, and the free run over it from silence."""
    loop, dry = make(kind, level=level), noise(300)
    return loop, dry, free_run(loop, dry[None, None])[0, 0]


def close(found: Tensor, expected: Tensor) -> bool:
    """Within 1e-5 of full scale, or of the largest value where that is more."""
    return bool((found - expected).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max())))


def test_the_predictor_has_every_kind_of_step_inside_and_outside_the_loop() -> None:
    plan = make("tanh").plan()
    assert {type(step) for step in plan.steps} == {Layer, Mix, Lookup, State, Part}
    early = Partition(plan).early - {DRY}
    assert {type(plan.step(value)) for value in early} == {Layer, Mix, Lookup, Part}


@each_kind
@torch.no_grad()
def test_the_plan_in_pytorch_is_the_predictor_by_hand(kind: str) -> None:
    loop, dry = make(kind), noise(200)
    plan = loop.plan()
    wet = step_by_step(plan, {DRY: dry[None, None]}, plan.last)[0, 0]
    assert wet.std() > 0.01
    assert torch.allclose(wet, loop.predictor.by_hand(dry), atol=1e-5)


@each_kind
@torch.no_grad()
def test_values_before_the_loop_for_all_samples_at_once(kind: str) -> None:
    plan, dry = make(kind).plan(), noise(3, 1, 100)
    value = max(Partition(plan).early)
    at_once = evaluate(plan, {DRY: torch.nn.functional.pad(dry, (8, 0))}, {value})[value]
    assert torch.allclose(at_once, step_by_step(plan, {DRY: dry}, value), atol=1e-5)


@pytest.mark.parametrize(("nearest", "level"), [(False, 1.0), (True, 40.0)], ids=["quiet", "loud, nearest row"])
@each_kind
def test_rollouts_and_their_gradient(monkeypatch: pytest.MonkeyPatch, kind: str, nearest: bool, level: float) -> None:
    loop = make(kind, nearest, level)
    history, dry = noise(5, 1, 60, seed=1), noise(5, 1, 60 + 25)

    def with_gradients(wet: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        loop.zero_grad()
        (wet * noise(*wet.shape, seed=2)).sum().backward()
        return wet.detach(), gradients(loop)

    expected, expected_gradients = with_gradients(free_run(loop, dry, history))
    assert expected.std() > 0.02
    for compiled in (True, False):
        monkeypatch.setattr(lanes, "compiled", lambda where, compiled=compiled: compiled)
        wet, found = with_gradients(rollout(loop, dry, history).prediction)
        assert close(wet, expected)
        for name, gradient in expected_gradients.items():
            assert gradient.norm() > 0 or kind in ("argmax", "inverse"), name
            assert (found[name] - gradient).norm() <= 1e-4 * gradient.norm() + 1e-6, (name, compiled)


@each_kind
def test_teacher_forcing_and_its_gradient(kind: str) -> None:
    loop, (dry, wet) = make(kind), noise(2, 5, 1, 100)
    results = []
    for run in (lambda: loop.predictor(dry, wet), lambda: forced(loop.plan(), dry, wet)[..., loop.warm_up :]):
        loop.zero_grad()
        params = run()
        (params * noise(*params.shape, seed=2)).sum().backward()
        results.append((params.detach(), gradients(loop)))
    (expected, expected_gradients), (params, found) = results
    assert torch.allclose(params, expected, atol=1e-5)
    for name, gradient in expected_gradients.items():
        assert (found[name] - gradient).norm() <= 1e-4 * gradient.norm() + 1e-6, name


@each_kind
@each_level
@torch.no_grad()
def test_the_stream(kind: str, level: float) -> None:
    loop, dry, wet = alone(kind, level)
    assert close(render(loop, dry), wet)


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler (cc)")
@each_kind
@each_level
@torch.no_grad()
def test_c(kind: str, level: float, tmp_path: Path) -> None:
    loop, dry, wet = alone(kind, level)
    C().write(Model(loop, RATE, "x"), tmp_path / "x.c")
    strict = ("-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror")
    subprocess.run(["cc", *strict, "-shared", "-fPIC", tmp_path / "x.c", "-o", tmp_path / "x.so", "-lm"], check=True)
    library, state, played = ctypes.CDLL(str(tmp_path / "x.so")), ctypes.create_string_buffer(1_000_000), dry.clone()
    library.x_init(state)
    library.x_process(state, *(ctypes.c_void_p(x.data_ptr()) for x in (dry, played)), dry.numel())
    assert (played - wet).abs().max() < 1e-4 * max(1.0, float(wet.abs().max()))


@each_kind
@pytest.mark.parametrize("form", [TorchScript, Onnx])
def test_graphs(kind: str, form: type, tmp_path: Path) -> None:
    if form is Onnx:
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    model, path = Model(make(kind), RATE, kind), tmp_path / f"x{form.suffix}"
    form().write(model, path)
    assert "within" in form().check(model, path)
