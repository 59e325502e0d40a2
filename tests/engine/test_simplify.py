"""A simplified plan plays the same, in fewer steps."""

import pytest
import torch

from fxemu.engine.activations import mulaw_expand
from fxemu.engine.feedforward import evaluate
from fxemu.engine.plan import DRY, Activation, Layer, Lookup, Plan, Product, Term
from fxemu.engine.simplify import on_cpu, simplify
from fxemu.models import MLP
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import Binary


@pytest.mark.parametrize("code", ["sign_magnitude", "offset"])
@pytest.mark.parametrize("mu", [255.0, None])
@pytest.mark.parametrize("embedding", [0, 4])
def test_bits_become_tables(code: str, mu: float | None, embedding: int) -> None:
    torch.manual_seed(0)
    model = MLP(9, 9, context_window=8, feedback_window=7, width=5, embedding=embedding, feedback=False)
    plan = on_cpu(ClosedLoop(model, Binary(9, code, mu), Binary(9, code, mu)).plan())
    short = simplify(plan)
    # Not half-way between two levels, where rounding decides.
    level = (torch.randint(-300, 301, (1, 1, 5000)) + 0.9 * torch.rand(5000) - 0.45) / 255
    dry = level if mu is None else mulaw_expand(level, mu)
    same = evaluate(plan, {DRY: dry}, {plan.last})[plan.last] - evaluate(short, {DRY: dry}, {short.last})[short.last]
    assert same.abs().max() < 1e-5
    tables = [step for step in short.steps if isinstance(step, Lookup)]
    assert {step.table.shape[0] for step in tables} == {2**9 - 1}
    assert not [step for step in short.steps if isinstance(step, Layer) and step.activation.kind == "bits"]


def test_a_lone_activation_is_that_of_the_step_before() -> None:
    plan = Plan()
    twice = plan.add(Term(DRY, torch.full((1, 1, 1), 2.0)))
    bent = plan.mix(Product((twice,)), activation=Activation("tanh"))
    plan.mix(Product((bent, twice)))
    # The layer is read twice, so it has to stay as it is.
    assert len(simplify(plan).steps) == 3
    alone = Plan(plan.steps[:2])
    short = simplify(alone)
    assert [step.activation.kind for step in short.steps] == ["tanh"]
    dry = torch.linspace(-1, 1, 9)[None, None]
    assert torch.equal(evaluate(short, {DRY: dry}, {short.last})[short.last], torch.tanh(2 * dry))


def test_what_nothing_reads_is_left_out() -> None:
    plan = Plan()
    plan.add(Term(DRY, torch.ones(3, 1, 1)))
    state = plan.state(1)
    plan.close(state, plan.mix(Product((DRY,)), Product((state,), 0.5)))
    short = simplify(plan)
    assert len(short.steps) == 2
    assert short.sources == {2: 3}
