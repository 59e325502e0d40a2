"""The dynamics predictor: forward against step, causality, its start as a peak follower, and that it learns a gain."""

import math

import pytest
import torch
from torch.nn.functional import pad

from fxemu.engine.rollout import rollout
from fxemu.engine.stream import render
from fxemu.models import Dynamics
from fxemu.representations import MuLaw, Raw
from fxemu.rollout import ClosedLoop

SMALL = {"states": 3, "width": 7, "averages": 2, "memory_samples": 20}


def make(**arguments: object) -> Dynamics:
    torch.manual_seed(0)
    return Dynamics(**{**SMALL, **arguments})


@pytest.mark.parametrize("feedback", [True, False])
def test_forward_is_step_after_step(feedback: bool) -> None:
    model = make(feedback=feedback)
    dry, wet = torch.rand(2, 4, 1, 50) - 0.5
    whole, state, steps = model(dry, wet), model.initial_state(4), []
    for x, y in zip(dry.unbind(-1), pad(wet, (1, -1)).unbind(-1), strict=True):
        out, state = model.step(x, y, state)
        steps.append(out)
    assert whole.shape == (4, 1, 50 - 20)
    assert torch.allclose(torch.stack(steps[20:], dim=-1), whole, atol=1e-6)


def test_it_hears_its_own_level_and_nothing_of_the_future() -> None:
    model = make()
    dry, wet = ((torch.rand(1, 1, 50) - 0.5).requires_grad_() for _ in range(2))
    model(dry, wet)[0, 0, 10].backward()
    t = 30
    assert dry.grad[0, 0, : t + 1].all() and not dry.grad[0, 0, t + 1 :].any()
    assert wet.grad[0, 0, :t].any() and not wet.grad[0, 0, t:].any()
    control = make(feedback=False)
    assert torch.equal(control(dry, wet), control(dry, 2 * wet + 1))


@torch.no_grad()
def test_an_untrained_one_passes_dry_on_and_follows_its_peaks() -> None:
    model = Dynamics(states=4, feedback=False, memory_samples=1)
    model.gain.weight.data.zero_()
    dry = torch.sin(torch.arange(4000) * 0.3)[None, None] * 0.5
    state = model.initial_state(1)
    for x in dry.unbind(-1):
        out, state = model.step(x, x, state)
        assert torch.allclose(out, x, atol=1e-6)
    # On the scale of levels, half of full scale is 1 - 6 dB / 80 dB.
    level = math.log1p(1e8 * 0.25) / math.log1p(1e8)
    assert state[-1][0, 0] == pytest.approx(level, abs=0.05)
    assert state[-1][0, 2] == pytest.approx(level, abs=0.1)


def test_silence_stays_silence() -> None:
    assert not render(ClosedLoop(make(), Raw(), Raw()), torch.zeros(300)).any()


def test_it_learns_to_turn_the_loud_down() -> None:
    """Noise at two levels, the louder one to be halved: a gain that the level alone decides."""
    generator = torch.Generator().manual_seed(0)
    loud = (torch.arange(400) // 100 % 2).float()
    dry = (torch.rand(32, 1, 400, generator=generator) - 0.5) * (0.1 + 0.9 * loud)
    wet = dry * (1 - 0.5 * loud)
    loop = ClosedLoop(Dynamics(states=2, width=8, feedback=False, memory_samples=20), Raw(), Raw())
    optimizer, losses = torch.optim.Adam(loop.parameters(), lr=1e-2), []
    for _ in range(60):
        error = rollout(loop, dry, wet[..., :20])[0] - wet[..., 20:]
        losses.append(error.square().sum() / wet[..., 20:].square().sum())
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert float(losses[0]) > 0.5
    assert float(losses[-1]) < 0.1


@pytest.mark.parametrize("arguments", [{"states": 0}, {"width": 4}, {"averages": 13}, {"max_gain_db": -1}])
def test_arguments_out_of_range(arguments: dict[str, int]) -> None:
    name = next(iter(arguments))
    with pytest.raises(ValueError, match=rf"Dynamics: got .*{name} {arguments[name]}.*allowed are"):
        Dynamics(**arguments)


def test_it_takes_plain_samples_only() -> None:
    with pytest.raises(ValueError, match="model=dynamics takes and makes plain samples: use it with repr=raw"):
        ClosedLoop(make(), MuLaw(), Raw())
