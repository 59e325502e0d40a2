"""The MLP: forward against step, causality by gradient, and the plan against forward."""

import pytest
import torch
from helpers.models import stepped
from torch import Tensor
from torch.nn.functional import conv1d, pad

from fxemu.engine.feedforward import evaluate
from fxemu.engine.plan import DRY, WET, Plan
from fxemu.models import MLP

CONFIGS = {
    "plain": {"context_window": 12},
    "short feedback": {"context_window": 12, "feedback_window": 8},
    "no feedback": {"context_window": 12, "feedback": False},
    "embedding": {"context_window": 12, "embedding": 3},
    "embedding, short feedback": {"context_window": 12, "embedding": 3, "feedback_window": 8},
    "softsign": {"context_window": 12, "activation": "softsign"},
    "embedding, no feedback": {"context_window": 12, "embedding": 3, "feedback": False, "dry_skip": 5},
    "no skip": {"context_window": 12, "dry_skip": 0, "layers": 1},
    "long skip": {"context_window": 12, "dry_skip": 5, "layers": 3, "activation": "sigmoid"},
    "present sample alone": {"context_window": 1},
    "present and last": {"context_window": 1, "feedback_window": 1, "dry_skip": 0},
}
each_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def make(config: dict[str, object], channels: int = 1, params: int = 1) -> MLP:
    torch.manual_seed(0)
    return MLP(channels, params, width=6, **{"layers": 2, "feedback_window": None, **config})


def windows(model: MLP, config: dict[str, object]) -> tuple[int, int]:
    """Dry and wet samples that a model of that configuration should see."""
    m = config["context_window"]
    return m, config.get("feedback_window", m - 1) if config.get("feedback", True) else 0


@each_config
@pytest.mark.parametrize(("channels", "params"), [(1, 1), (2, 3)])
def test_forward_is_step_after_step(config: dict[str, object], channels: int, params: int) -> None:
    model = make(config, channels, params)
    dry, wet = torch.randn(2, 4, channels, 30)
    silence = model.receptive_field - 1
    whole = model(pad(dry, (silence, 0)), pad(wet, (silence, 0)))
    assert whole.shape == (4, params, 30)
    assert torch.allclose(stepped(model, dry, wet), whole, atol=1e-5)


@each_config
def test_a_prediction_sees_exactly_its_window(config: dict[str, object]) -> None:
    model = make(config)
    m, n = windows(model, config)
    assert model.receptive_field == max(m, n + 1)
    dry, wet = (torch.randn(1, 1, 40, requires_grad=True) for _ in range(2))
    t = 25
    model(dry, wet)[0, 0, t - model.receptive_field + 1].backward()
    assert (dry.grad[0, 0] != 0).nonzero().flatten().tolist() == list(range(t - m + 1, t + 1))
    wet_read = [] if wet.grad is None else (wet.grad[0, 0] != 0).nonzero().flatten().tolist()
    assert wet_read == list(range(t - n, t))
    assert model.feedback == (n > 0)


def test_without_feedback_wet_makes_no_difference() -> None:
    model = make(CONFIGS["no feedback"])
    dry, wet = torch.randn(2, 1, 1, 40)
    assert torch.equal(model(dry, wet), model(dry, wet * 2 + 1))
    assert not any(name.startswith("wet") for name, _ in model.named_parameters())


@each_config
def test_the_plan_computes_forward(config: dict[str, object]) -> None:
    model, plan = make(config), Plan()
    dry, wet = torch.randn(2, 3, 1, 60)
    params = model.plan(plan, DRY, WET)
    signals = evaluate(plan, {DRY: dry, WET: pad(wet, (1, -1))}, {params})
    expected = model(dry, wet)
    assert torch.allclose(signals[params][..., -expected.shape[-1] :], expected, atol=1e-5)


def test_the_plan_holds_the_live_weights() -> None:
    model, plan = make(CONFIGS["plain"]), Plan()
    model.plan(plan, DRY, WET)
    held = {id(term.weight) for layer in plan.steps for term in layer.terms}
    held |= {id(layer.bias) for layer in plan.steps if layer.bias is not None}
    assert held == {id(parameter) for parameter in model.parameters()}


def multiply_adds(model: MLP) -> int:
    plan = Plan()
    model.plan(plan, DRY, WET)
    return plan.multiply_adds()


def test_multiply_adds() -> None:
    windows, hidden, out = 6 * (12 + 8), 6 * 6, 6
    config = {"context_window": 12, "feedback_window": 8, "layers": 3, "dry_skip": 5}
    assert multiply_adds(make(config)) == windows + 2 * hidden + out + 5
    # Dry and fed-back samples each pass the embedding once; the windows are three channels wide.
    assert multiply_adds(make({**config, "embedding": 3})) == 2 * 3 + 3 * windows + 2 * hidden + out + 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"context_window": 0}, "context_window: got 0; must be at least 1"),
        ({"context_window": 8, "feedback_window": 8}, r"feedback_window: got 8; .* context_window - 1 \(7\)"),
        ({"feedback_window": -1}, "feedback_window: got -1"),
        ({"layers": 0}, "layers: got 0; must be at least 1"),
        ({"width": 0}, "width: got 0; must be at least 1"),
        ({"context_window": 8, "dry_skip": 9}, "dry_skip: got 9; must be from 0 to 8"),
        ({"dry_skip": -1}, "dry_skip: got -1"),
        ({"activation": "gelu"}, "activation: got 'gelu'; choose one of tanh"),
    ],
)
def test_arguments_out_of_range(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MLP(1, 1, **{"feedback_window": None, **arguments})


def test_linear_path_alone_is_a_filter() -> None:
    model = make(CONFIGS["long skip"])
    torch.nn.init.zeros_(model.out.weight)
    torch.nn.init.zeros_(model.out.bias)
    dry, wet = torch.randn(2, 1, 1, 40)
    taps: Tensor = model.skip.weight
    assert torch.allclose(model(dry, wet), conv1d(dry, taps)[..., -29:], atol=1e-6)
