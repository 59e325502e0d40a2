"""One contract for every predictor: forward against step, causality by gradient, what it looks back to; known sizes."""

from inspect import signature

import pytest
import torch
from helpers.models import MODELS, VARIANTS, make, stepped
from scipy import signal
from torch.nn.functional import pad

from fxemu.engine.plan import DRY, WET, Plan
from fxemu.engine.streaming.stream import Stream, render
from fxemu.models import (
    GRU,
    LRU,
    LSTM,
    ConvNet,
    Dynamics,
    Linear,
    OctaveGain,
    Oscillator,
    PeriodicFilter,
    Predictor,
    WaveNet,
)
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import MuLaw, Raw

NAM = {"width": 16, "dilations": [2**k for k in range(10)], "feedback": False}
each_family = pytest.mark.parametrize("name", [*MODELS, *VARIANTS])
each_feedback = pytest.mark.parametrize("feedback", [True, False])


@each_family
@each_feedback
def test_forward_is_step_after_step(name: str, feedback: bool) -> None:
    channels, params = (1, 1) if make(name).plain_samples else (2, 3)
    model = make(name, channels, params, feedback=feedback)
    dry, wet = torch.randn(2, 4, channels, 80)
    whole = model(dry, wet)
    assert whole.shape == (4, params, 80 - model.receptive_field + 1)
    assert torch.allclose(stepped(model, dry, wet)[..., model.receptive_field - 1 :], whole, atol=1e-5)


@each_family
@each_feedback
@torch.no_grad()
def test_a_stream_that_is_fed_silence_and_then_wet_is_teacher_forced(name: str, feedback: bool) -> None:
    model, (dry, wet) = make(name, feedback=feedback), 0.3 * torch.randn(2, 30)
    loop = ClosedLoop(model, Raw(), Raw())
    expected, _ = loop.teacher_forced(*(pad(x, (loop.warm_up, 0))[None, None] for x in (dry, wet)))
    found = Stream(loop, *torch.zeros(2, loop.warm_up)).process(dry, wet)
    assert torch.allclose(found, expected[0, 0].clamp(-loop.limit, loop.limit), atol=1e-5)


@each_family
@each_feedback
def test_causal_and_without_latency(name: str, feedback: bool) -> None:
    model = make(name, feedback=feedback)
    dry, wet = (torch.randn(1, 1, 80, requires_grad=True) for _ in range(2))
    t = 70
    model(dry, wet)[0, 0, t - model.receptive_field + 1].backward()
    assert dry.grad[0, 0, t] != 0
    assert not dry.grad[0, 0, t + 1 :].any()
    if not feedback:
        assert wet.grad is None or not wet.grad.any()
        return
    assert wet.grad[0, 0, t - 1] != 0
    assert not wet.grad[0, 0, t:].any()


def windows_reach(model: Predictor) -> int:
    """Samples, the present one included, that its windows look back to, one through another; states aside."""
    plan, reach = Plan(), {DRY: 0, WET: 1}
    model.plan(plan, DRY, WET)
    for value, step in plan.values():
        reach[value] = max((reach[source] + span for source, span in step.spans().items()), default=0)
    return 1 + max(reach[value] for value, _ in plan.values())


@each_family
@each_feedback
def test_the_receptive_field_covers_all_windows(name: str, feedback: bool) -> None:
    model = make(name, feedback=feedback)
    assert model.receptive_field >= windows_reach(model)
    if "memory_samples" not in signature(type(model)).parameters:
        assert model.receptive_field == windows_reach(model)


def test_a_linear_model_is_a_recursive_filter() -> None:
    """y[t] = b0 x[t] + b1 x[t-1] + b2 x[t-2] - a1 y[t-1] - a2 y[t-2], as scipy has it."""
    b, a = signal.butter(2, 0.1)
    model = Linear(1, 1, context_window=3, feedback_window=2).requires_grad_(False)
    model.dry.weight.copy_(torch.from_numpy(b[::-1].copy())), model.dry.bias.zero_()
    model.wet.weight.copy_(torch.from_numpy(-a[:0:-1].copy()))
    dry = torch.randn(500, generator=torch.Generator().manual_seed(0)) * 0.2
    wet = render(ClosedLoop(model, Raw(), Raw()), dry)
    assert torch.allclose(wet.double(), torch.from_numpy(signal.lfilter(b, a, dry.numpy())), atol=1e-5)


def test_the_standard_shape_of_neural_amp_modeler() -> None:
    """Its file has 13802 floats: a head scale, and a last 1x1 convolution (8 * 8 + 8) whose output nothing reads."""
    model = WaveNet(1, 1, **NAM)
    head_bias_of_the_first_array = 8
    ours = sum(p.numel() for p in model.parameters()) - head_bias_of_the_first_array
    assert ours + 1 + (8 * 8 + 8) == 13_802
    assert model.receptive_field == 4093


@pytest.mark.parametrize("name", [name for name in (*MODELS, *VARIANTS) if make(name).vectorised])
def test_plan_counts_what_forward_multiplies(name: str) -> None:
    model, plan = make(name), Plan()
    model.plan(plan, DRY, WET)
    matrices = sum(p.numel() for key, p in model.named_parameters() if "weight" in key)
    assert matrices <= plan.multiply_adds() <= 1.5 * matrices + 100


ARGUMENTS: list[tuple[type[Predictor], dict[str, object], str]] = [
    (LSTM, {"width": 0}, "width: got 0; must be at least 1"),
    (GRU, {"memory_samples": 0}, "memory_samples: got 0; must be at least 1"),
    (LRU, {"states": 0}, "states: got 0; must be at least 1"),
    (LRU, {"shortest": 10.0, "longest": 5.0}, "longest: got 5.0; must be at least 10"),
    (LRU, {"window": 9, "memory_samples": 8}, "memory_samples: got 8; must be at least 9"),
    (WaveNet, {"width": 0}, "width: got 0; must be at least 1"),
    (WaveNet, {"arrays": 0}, "arrays: got 0; must be at least 1"),
    (WaveNet, {"kernel": 1}, "kernel: got 1; must be at least 2"),
    (WaveNet, {"dilations": [1, 0]}, "dilations: got 0; must be at least 1"),
    (WaveNet, {"activation": "gelu"}, "activation: got 'gelu'"),
    (ConvNet, {"width": 0}, "width: got 0; must be at least 1"),
    (ConvNet, {"dilations": []}, "dilations: got 0; must be at least 1"),
    (Linear, {"context_window": 0}, "context_window: got 0; must be at least 1"),
    (Linear, {"feedback_window": 0}, "feedback_window: got 0; must be at least 1"),
    (Oscillator, {"harmonics": 0}, "harmonics: got 0; must be at least 1"),
    (Oscillator, {"correction": 1.5}, "correction: got 1.5; must be from 1e-06 to 1"),
    (PeriodicFilter, {"context_window": 1}, "context_window: got 1; must be at least 2"),
    (PeriodicFilter, {"memory_samples": 100}, "memory_samples: got 100; must be at least 800"),
    (PeriodicFilter, {"rank": 801}, "rank: got 801; must be from 1 to 800"),
    (OctaveGain, {"octaves": 21}, "octaves: got 21; must be from 3 to 20"),
    (OctaveGain, {"echoes": 0}, "echoes: got 0; must be at least 1"),
    (OctaveGain, {"echo_taps": 3}, "echo_taps: got 3; must be at least 4"),
    (OctaveGain, {"echo_taps": 8, "memory_samples": 8}, "memory_samples: got 8; must be at least 9"),
]


@pytest.mark.parametrize(("kind", "arguments", "message"), ARGUMENTS)
def test_arguments_out_of_range(kind: type[Predictor], arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(1, 1, **arguments)


@pytest.mark.parametrize("kind", [Dynamics, OctaveGain, Oscillator, PeriodicFilter])
def test_models_that_multiply_samples_take_plain_ones_only(kind: type[Predictor]) -> None:
    with pytest.raises(ValueError, match="takes and makes plain samples: use it with repr=raw"):
        ClosedLoop(kind(), MuLaw(), Raw())
