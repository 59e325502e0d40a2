"""The predictor that finds out what an effect does: its parts, forward against step, and that it learns effects."""

from pathlib import Path

import pytest
import torch
from helpers.models import echoing
from torch import Tensor

from fxemu.effects import Chain, Delay, Effect, Tanh
from fxemu.emulation.locate import read_model
from fxemu.engine.contraction import contraction_bound
from fxemu.engine.feedforward import evaluate
from fxemu.engine.plan import DRY, Plan
from fxemu.engine.streaming.stream import render
from fxemu.evaluation.metrics import esr
from fxemu.models import OctaveGain
from fxemu.models.closed_loop import ClosedLoop
from fxemu.models.files import save
from fxemu.models.fits.echoes import find_lags
from fxemu.models.parts.octaves import octave_levels, plan_octave_levels
from fxemu.representations import Raw

RATE = 8000
SMALL = {"context_window": 12, "width": 6, "octaves": 4, "echoes": 3, "echo_taps": 4, "memory_samples": 40}


def make(**arguments: object) -> OctaveGain:
    torch.manual_seed(0)
    return echoing(OctaveGain(**{**SMALL, **arguments}))


def music(samples: int, seed: int) -> Tensor:
    """Noise with 40 dB less at the top than at the bottom."""
    noise = torch.randn(samples, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    spectrum = torch.fft.rfft(noise)
    coloured = torch.fft.irfft(spectrum * 10 ** (-2 * torch.linspace(0, 1, spectrum.numel())), samples)
    return (coloured / coloured.abs().max()).float()


def test_it_hears_wet_at_its_lags_and_nothing_of_the_future() -> None:
    model = make()
    dry, wet = ((torch.rand(1, 1, 80) - 0.5).requires_grad_() for _ in range(2))
    t = 60
    model(dry, wet)[0, 0, t - model.receptive_field + 1].backward()
    assert dry.grad[0, 0, t] != 0 and not dry.grad[0, 0, t + 1 :].any()
    echo_sources = {t - lag - tap for lag in (1, 9) for tap in range(4)}
    assert set(wet.grad[0, 0].nonzero().flatten().tolist()) == echo_sources
    control = make(feedback=False)
    assert torch.equal(control(dry, wet), control(dry, 2 * wet + 1))


def test_a_level_is_that_of_its_window() -> None:
    dry = torch.cat((torch.zeros(100), torch.ones(20)))[None, None]
    levels = octave_levels(dry, 4, 21)[0]
    assert levels.shape == (2, 21)
    for window, level in zip((8, 16), levels, strict=True):
        inside = torch.arange(21).clamp_max(window) / window
        assert torch.allclose(level, torch.log1p(1e8 * inside) / torch.log1p(torch.tensor(1e8)), atol=1e-6)


def test_levels_in_a_plan_are_the_same() -> None:
    dry, plan = torch.randn(2, 1, 300), Plan()
    values = plan_octave_levels(plan, DRY, 6, dry)
    signals = evaluate(plan, {DRY: dry}, set(values))
    expected = octave_levels(dry, 6, 200)
    assert torch.allclose(torch.cat([signals[v][..., -200:] for v in values], dim=1), expected, atol=1e-6)


DELAY = Delay(delay_ms=200, feedback=0.4, mix=0.4)


@pytest.mark.parametrize("effect", [DELAY, Chain([Tanh(5.0), DELAY])], ids=["delay", "tanh, then delay"])
def test_echoes_are_found(effect: Effect) -> None:
    songs = [(dry, effect(dry, RATE)) for dry in (music(60_000, 0), music(50_000, 1))]
    lags = find_lags(songs, count=3, width=16, longest=5000)
    assert sorted(lag + 4 for lag in lags) == pytest.approx([1600, 3200, 4800], abs=2)


def test_where_there_is_no_echo_none_is_found() -> None:
    songs = [(dry, Tanh(5.0)(dry, RATE)) for dry in (music(60_000, 0), music(50_000, 1))]
    assert find_lags(songs, count=3, width=16, longest=5000) == []
    model = make(memory_samples=5000)
    with_echoes = ClosedLoop(model, Raw(), Raw()).plan().multiply_adds()
    model.fit(songs)
    assert not model.lags.any()
    # Four taps each and their sum; the one at lag 9 needs a step that looks back, too.
    assert with_echoes - ClosedLoop(model, Raw(), Raw()).plan().multiply_adds() == 4 + 1 + 2 + 4 + 1


@pytest.mark.parametrize("feedback", [True, False])
def test_it_learns_a_distorted_delay(feedback: bool) -> None:
    effect = Chain([Tanh(5.0), DELAY])
    dry, unheard = music(60_000, 0), music(16_000, 1)
    wet, truth = effect(dry, RATE), effect(unheard, RATE)
    torch.manual_seed(0)
    model = OctaveGain(context_window=4, width=8, octaves=5, echo_taps=16, memory_samples=5000, feedback=feedback)
    model.fit([(dry, wet)])
    optimizer, before = torch.optim.Adam(model.parameters(), lr=1e-2), model.receptive_field - 1
    for _ in range(300):
        starts = torch.randint(dry.numel() - before - 256, (8,))
        x, y = (torch.stack([song[s : s + before + 256] for s in starts])[:, None] for song in (dry, wet))
        target = y[..., before:]
        loss = (model(x, y) - target).square().sum() / target.square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    loop = ClosedLoop(model, Raw(), Raw())
    loop.limit.fill_(2.0)
    assert esr(render(loop, unheard), truth) < 0.01
    model.taps.data.zero_()
    assert esr(render(loop, unheard), truth) > 0.1


@pytest.mark.parametrize("name", ["OctaveGain", "Auto"])
def test_it_comes_back_from_a_file_with_its_echoes(tmp_path: Path, name: str) -> None:
    raw = {"_target_": "fxemu.representations.Raw"}
    described = {"_target_": f"fxemu.models.{name}", **SMALL}
    model, dry = make(), music(300, 0)
    loop = ClosedLoop(model, Raw(), Raw())
    save(loop, {"data": {"sample_rate": RATE}, "model": described, "repr": {"input": raw, "output": raw}}, tmp_path)
    assert torch.equal(render(read_model(tmp_path)[0], dry), render(loop, dry))


def test_lags_stay_within_the_memory() -> None:
    model, longest = make(), SMALL["memory_samples"] - SMALL["echo_taps"]
    model.lags.copy_(torch.tensor([1e30, -3.0, 5.0]))
    assert [lag for lag, _ in model._echoes()] == [longest, 5]
    assert ClosedLoop(model, Raw(), Raw()).plan().histories()[1] <= SMALL["memory_samples"]


def test_where_no_echo_was_found_wet_is_not_read_and_the_past_is_forgotten() -> None:
    net, raw = OctaveGain(**SMALL), Raw()
    loop = ClosedLoop(net, raw, raw)
    loop.gain.fill_(0.5)  # so that wet has a step of its own where it is read
    assert not loop.plan().feedback and contraction_bound(loop.plan()).samples() <= net.reach
    echoing(net)
    assert loop.plan().feedback and contraction_bound(loop.plan()) is None
