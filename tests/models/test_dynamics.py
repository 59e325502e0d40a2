"""The dynamics predictor: forward against step, causality, what its followers do, and that it is fitted to effects."""

import math

import pytest
import torch
from torch import Tensor
from torchaudio.functional import fftconvolve, highpass_biquad

from fxemu.effects import Compressor, Effect, Limiter
from fxemu.engine.lockstep.rollout import rollout
from fxemu.engine.plan import DRY, Plan
from fxemu.engine.step import step_by_step
from fxemu.engine.streaming.stream import Stream, render
from fxemu.errors import FitError
from fxemu.evaluation.metrics import esr, gain_error_db
from fxemu.models import Dynamics
from fxemu.models.closed_loop import ClosedLoop
from fxemu.models.dynamics import _follow
from fxemu.models.fits import dynamics
from fxemu.models.fits.dynamics_starts import logit, start
from fxemu.models.knobs import Knob, positions
from fxemu.representations import Raw

RATE = 8000


def make(**arguments: object) -> Dynamics:
    return Dynamics(**{"knees": 3, "memory_samples": 20, **arguments})


def closed(model: Dynamics) -> ClosedLoop:
    return ClosedLoop(model, Raw(), Raw())


def music(seconds: int, seed: int) -> Tensor:
    """Tones that come and go at levels from -50 to 0 dB, eight of them a second."""
    generator = torch.Generator().manual_seed(seed)
    level_db = -50 * torch.rand(8 * seconds, generator=generator)
    decay = torch.exp(-torch.arange(RATE // 8) / 400)
    pitch = torch.linspace(0.05, 1.5, 8 * seconds)[torch.randperm(8 * seconds, generator=generator)]
    envelope = (10 ** (level_db / 20)[:, None] * decay).flatten()
    return envelope * torch.sin(pitch.repeat_interleave(RATE // 8).cumsum(0))


@torch.no_grad()
def test_a_follower_rises_and_falls_exponentially() -> None:
    model = make()
    model.rates[1] = torch.tensor([logit(5.0), logit(50.0)])
    plan = Plan()
    state = plan.state(1)
    plan.close(state, _follow(plan, model.numbers().of(1), state, DRY))
    levels = torch.cat((torch.ones(99), torch.zeros(99)))
    found = step_by_step(plan, {DRY: levels[None, None]}, plan.last)[0, 0]
    t = torch.arange(1, 100)
    assert torch.allclose(found[:99], 1 - torch.exp(-t / 5), atol=1e-5)
    assert torch.allclose(found[99:], torch.exp(-t / 50), atol=1e-5)


@torch.no_grad()
def test_a_curve_without_bends_is_a_constant_gain() -> None:
    model = make(feedback=False)
    model.bend.zero_()
    model.makeup.fill_(6 / 80)
    dry = music(1, 0)
    assert torch.allclose(render(closed(model), dry), dry * 10 ** (6 / 20), atol=1e-4)


def test_silence_stays_silence() -> None:
    assert not render(closed(make()), torch.zeros(300)).any()


def times_ms(model: Dynamics) -> Tensor:
    """Time constants of all followers."""
    return -1000 / RATE / torch.log1p(-model.rates.detach().sigmoid())


EFFECTS = {
    "compressor": (Compressor(attack_ms=5, release_ms=80), 80),
    "limiter": (Limiter(release_ms=60), 60),
    "feedback compressor": (Compressor(ratio=10, attack_ms=1, release_ms=200, detector="output"), 200),
}


@pytest.mark.parametrize(("effect", "release_ms"), EFFECTS.values(), ids=EFFECTS)
@torch.no_grad()
def test_it_is_fitted_to_an_effect_and_runs_on_other_music(effect: Effect, release_ms: float) -> None:
    model, control = (Dynamics(feedback=feedback, memory_samples=20) for feedback in (True, False))
    dry, unheard = music(4, 0), music(2, 1)
    model.fit([(dry, effect(dry, RATE))])
    wet, truth = render(closed(model), unheard), effect(unheard, RATE)
    assert esr(wet, truth) < 1e-4
    assert gain_error_db(wet, truth) < 0.1
    assert (times_ms(model) / release_ms - 1).abs().min() < 0.05
    control.load_state_dict(model.state_dict())
    assert torch.allclose(render(closed(control), unheard), wet, atol=1e-5)


def test_it_is_fitted_to_a_gain_that_follows_the_amplitude() -> None:
    """A detector of other makers: |dry| rises in 3 ms and falls in 250 ms, 4:1 above -30 dB."""

    def gained(dry: Tensor) -> Tensor:
        envelope, now = [], 0.0
        for x in dry.abs().tolist():
            now += (x - now) * -math.expm1(-1000 / RATE / (3 if x > now else 250))
            envelope.append(now)
        over_db = (20 * torch.tensor(envelope).clamp_min(1e-5).log10() + 30).clamp_min(0)
        return dry * 10 ** (-0.75 * over_db / 20)

    model, unheard = make(knees=8), music(2, 1)
    dry = music(3, 0)
    model.fit([(dry, gained(dry))])
    assert esr(render(closed(model), unheard), gained(unheard)) < 1e-4


@torch.no_grad()
def test_it_is_fitted_to_a_gain_that_follows_a_high_passed_key(monkeypatch) -> None:
    """A compressor that does not pump with the bass, by a filter of two poles before its detector."""

    def gained(dry: Tensor) -> Tensor:
        key = highpass_biquad(dry, RATE, 300)
        return dry * (Compressor()(key, RATE) / key.where(key != 0, 1)).where(key != 0, 1)

    def with_bass(seconds: int, seed: int) -> Tensor:
        t = torch.arange(seconds * RATE)
        return 0.5 * music(seconds, seed) + 0.4 * torch.sin(0.03 * t) * (torch.sin(1.7e-3 * t) > 0)

    model, without, dry, unheard = make(knees=8), make(knees=8), with_bass(3, 0), with_bass(2, 1)
    model.fit([(dry, gained(dry))])
    monkeypatch.setattr(dynamics, "WORTH_A_KEY", 0.0)
    monkeypatch.setattr(dynamics, "starts_in_band", lambda knees, makeup: [start(knees, (0.2, 2000.0), 0.2)])
    without.fit([(dry, gained(dry))])
    error, before = (esr(render(closed(each), unheard), gained(unheard)) for each in (model, without))
    assert error < 1e-3 and error < 0.2 * before
    assert not without.key.any()


@torch.no_grad()
def test_no_gain_is_much_higher_than_in_the_songs_that_were_fitted() -> None:
    model, dry, loud = make(knees=8), 0.3 * music(3, 0), music(2, 1)
    model.fit([(dry, Compressor()(dry, RATE))])
    assert model.max_gain == pytest.approx(1.25, rel=0.01)
    model.bend[-1] -= 100  # where those songs do not reach
    assert (render(closed(model), loud).abs() <= 1.26 * loud.abs()).all()


@torch.no_grad()
def test_weights_from_before_there_was_an_envelope_or_a_key_load() -> None:
    knobs = (Knob("drive_db", 0.0, 40.0, 20.0),)
    loop, again = (ClosedLoop(make(), Raw(), Raw(), knobs) for _ in range(2))
    loop.turning.moves[2:].normal_(std=0.1, generator=torch.Generator().manual_seed(0))
    weights = loop.state_dict()
    weights["predictor.rates"], weights["turning.moves"] = loop.predictor.rates[1:], loop.turning.moves[2:]
    again.load_state_dict(weights)
    assert all(torch.equal(a, b) for a, b in zip(loop.parameters(), again.parameters(), strict=True))
    del weights["predictor.key"], weights["predictor.key_rates"]
    again.load_state_dict(weights)
    assert not again.predictor.key.any()
    del weights["predictor.max_gain"], weights["predictor.slow"], weights["predictor.slow_rates"]
    again.load_state_dict(weights)
    assert not again.predictor.slow.any() and again.predictor.max_gain == 1000


@torch.no_grad()
def test_it_is_fitted_to_a_gain_that_comes_back_in_two_stages(monkeypatch) -> None:
    """As optical compressors do: half in 40 ms, and the rest, which long passages build up, in a second."""

    def gained(dry: Tensor) -> Tensor:
        fast, slow, gains = 0.0, 0.0, []
        for x in dry.abs().clamp_min(1e-5).log10().mul(20).tolist():
            wanted = 0.6 * max(x + 30, 0)
            fast += (wanted - fast) * -math.expm1(-1000 / RATE / (1 if wanted > fast else 40))
            slow += (wanted - slow) * -math.expm1(-1000 / RATE / (100 if wanted > slow else 1000))
            gains.append(-0.5 * (fast + slow))
        return dry * 10 ** (torch.tensor(gains) / 20)

    model, without, dry, unheard = make(knees=8), make(knees=8), music(3, 0), music(3, 1)
    model.fit([(dry, gained(dry))])
    monkeypatch.setattr(dynamics, "WORTH_A_SLOW_PART", 0.0)
    without.fit([(dry, gained(dry))])
    error, before = (esr(render(closed(each), unheard), gained(unheard)) for each in (model, without))
    assert error < 1e-3 and error < 0.1 * before
    assert model.slow.requires_grad and not without.slow.any() and not without.slow.requires_grad


@torch.no_grad()
def test_knobs_are_fitted_to_a_few_settings_and_turn_to_one_between() -> None:
    knobs = (Knob("threshold_db", -40.0, -10.0, -20.0),)
    loop = ClosedLoop(Dynamics(knees=4, memory_samples=20), Raw(), Raw(), knobs)
    songs = [
        (music(1, seed), Compressor(threshold_db=threshold)) for seed, threshold in enumerate((-40, -30, -20, -10))
    ]
    at = [positions(knobs, {"threshold_db": float(effect.threshold_db)}) for _, effect in songs]
    loop.fit([(dry, effect(dry, RATE)) for dry, effect in songs], at)
    unheard, effect = music(2, 9), Compressor(threshold_db=-26)
    truth = effect(unheard, RATE)
    assert esr(render(loop.at(positions(knobs, {"threshold_db": -26.0})), unheard), truth) < 2e-3
    assert esr(render(loop.at(positions(knobs, {"threshold_db": -40.0})), unheard), truth) > 2e-2


@torch.no_grad()
def test_a_filter_is_fitted_beside_the_gain() -> None:
    taps = torch.tensor([0.2, 0.5, 0.25, -0.1])
    model = Dynamics(knees=4, memory_samples=20, taps=8)
    dry, unheard, effect = music(2, 0), music(1, 1), Compressor()
    wet, truth = (_filtered(effect(x, RATE) / x.where(x != 0, 1), x, taps) for x in (dry, unheard))
    model.fit([(dry, wet)])
    assert esr(render(closed(model), unheard), truth) < 1e-2


def test_a_quiet_sound_that_is_much_amplified_is_learned() -> None:
    dry, unheard = music(2, 0), music(1, 1)
    model = make(taps=1)
    model.fit([(dry, torch.tanh(200 * dry))])
    assert esr(render(closed(model), 0.01 * unheard), torch.tanh(2 * unheard)) < 1e-2


def test_where_the_gain_does_not_follow_the_level_there_is_no_fit() -> None:
    dry = music(2, 0)
    echo = torch.nn.functional.pad(dry, (1000, -1000))
    with pytest.raises(FitError, match="no gain that follows the level"):
        make(taps=8).fit([(dry, torch.tanh(2 * dry) - echo)])


def _filtered(gain: Tensor, dry: Tensor, taps: Tensor) -> Tensor:
    return gain * fftconvolve(dry, taps)[: dry.numel()]


@torch.no_grad()
def test_true_samples_correct_the_reduction() -> None:
    """Music that has become too quiet to reduce: how much still is reduced shows in wet alone."""
    model = Dynamics(memory_samples=1)
    model.rates[2, 1] = logit(40_000.0)
    dry = torch.cat((music(1, 0), 1e-2 * music(1, 1)))
    truth = render(closed(model), dry)
    late, late_truth = dry[RATE:], truth[RATE:]
    stream = Stream(closed(model))
    stream.process(late[:2000], late_truth[:2000])
    primed = stream.process(late[2000:])
    assert esr(render(closed(model), late)[2000:], late_truth[2000:]) > 0.01
    assert esr(primed, late_truth[2000:]) < 1e-6


def test_it_learns_through_rollouts() -> None:
    """Noise at two levels, the louder one to be halved: a gain that the level alone decides."""
    generator = torch.Generator().manual_seed(0)
    loud = (torch.arange(400) // 100 % 2).float()
    dry = (torch.rand(32, 1, 400, generator=generator) - 0.5) * (0.1 + 0.9 * loud)
    wet = dry * (1 - 0.5 * loud)
    loop = closed(make(feedback=False))
    optimizer, losses = torch.optim.Adam(loop.parameters(), lr=5e-2), []
    for _ in range(40):
        error = rollout(loop, dry, wet[..., :20]).prediction - wet[..., 20:]
        losses.append(error.square().sum() / wet[..., 20:].square().sum())
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert float(losses[-1].detach()) < 0.3 * float(losses[0].detach())


@pytest.mark.parametrize("arguments", [{"knees": 0}, {"memory_samples": 0}, {"max_gain_db": -1}, {"taps": -1}])
def test_arguments_out_of_range(arguments: dict[str, int]) -> None:
    name = next(iter(arguments))
    with pytest.raises(ValueError, match=rf"Dynamics: got .*{name} {arguments[name]}.*allowed are"):
        Dynamics(**arguments)
