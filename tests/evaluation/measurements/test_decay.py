"""Decay times against closed forms: noise and echoes that fall by so many decibels a second."""

import pytest
import torch
from torch import Tensor

from fxemu.effects import Convolution, Delay, Effect, Highpass, Passthrough, RoomReverb, Tanh, Tremolo
from fxemu.evaluation.measurements.decay import decay, decay_s
from fxemu.models import Linear
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import Raw

RATE = 8000


def noise(seconds: float, seed: int = 0) -> Tensor:
    return torch.randn(round(seconds * RATE), generator=torch.Generator().manual_seed(seed))


def exponential(to_60_db_s: float, seconds: float) -> Tensor:
    return 10 ** (-3 * torch.arange(round(seconds * RATE)) / (to_60_db_s * RATE))


def decaying(to_60_db_s: float, seconds: float) -> Tensor:
    return noise(seconds) * exponential(to_60_db_s, seconds)


class Tail(Effect):
    """Convolution with decaying noise: a reverb whose decay time is known."""

    def __init__(self, to_60_db_s: float) -> None:
        self.response = decaying(to_60_db_s, 2 * to_60_db_s)

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        size = dry.numel() + self.response.numel()
        return torch.fft.irfft(torch.fft.rfft(dry, size) * torch.fft.rfft(self.response, size), size)[: dry.numel()]


def model_of(response: Tensor) -> ClosedLoop:
    """A linear model with that impulse response."""
    model = Linear(1, 1, context_window=response.numel(), feedback=False).requires_grad_(False)
    model.dry.weight.copy_(response.flip(0))
    model.dry.bias.zero_()
    loop = ClosedLoop(model, Raw(), Raw())
    loop.limit.fill_(1e3)
    return loop


@pytest.mark.parametrize("to_60_db_s", [0.1, 1.5, 5.0])
def test_an_exponential_has_the_decay_time_it_was_made_with(to_60_db_s: float) -> None:
    response = exponential(to_60_db_s, 1.5 * to_60_db_s)
    assert decay_s(response, RATE) == pytest.approx(to_60_db_s, rel=1e-3)
    assert decay_s(1e-3 * response, RATE) == pytest.approx(to_60_db_s, rel=1e-3)


@pytest.mark.parametrize("to_60_db_s", [0.5, 1.5, 5.0])
def test_decaying_noise_has_it_too(to_60_db_s: float) -> None:
    assert decay_s(decaying(to_60_db_s, 1.5 * to_60_db_s), RATE) == pytest.approx(to_60_db_s, rel=0.05)


def test_echoes_fall_by_their_feedback() -> None:
    """-6.02 dB every 0.05 s: 60 dB in 0.498 s."""
    echoes = torch.zeros(RATE)
    echoes[:: RATE // 20] = 0.5 ** torch.arange(20.0)
    assert decay_s(echoes, RATE) == pytest.approx(0.498, rel=0.05)


@pytest.mark.parametrize(
    "response",
    [torch.zeros(RATE), noise(3), torch.full((RATE,), 1e-3), torch.eye(1, RATE)[0], decaying(1, 2) + 0.01 * noise(2)],
    ids=["silence", "hiss", "an offset", "one sample", "decay into hiss"],
)
def test_what_does_not_decay_has_no_decay_time(response: Tensor) -> None:
    assert decay_s(response, RATE) is None


def test_the_error_is_relative() -> None:
    effect = Tail(0.5)
    perfect, shorter = (decay(model_of(Tail(s).response), effect, RATE) for s in (0.5, 0.45))
    assert perfect.effect_s == pytest.approx(0.5, rel=0.1)
    assert perfect.error < 1e-3
    assert shorter.model_s / shorter.effect_s == pytest.approx(0.9, abs=0.03)
    assert shorter.error == pytest.approx(abs(shorter.model_s / shorter.effect_s - 1))


def test_what_a_model_makes_of_frequencies_that_songs_lack_does_not_count() -> None:
    response = Tail(0.5).response
    at_nyquist = 0.1 * (-1.0) ** torch.arange(response.numel())
    assert decay(model_of(response + at_nyquist), Tail(0.5), RATE).error < 0.01


def test_a_model_that_does_not_come_to_rest_has_none() -> None:
    loop = model_of(torch.ones(1))
    loop.predictor.dry.bias.fill_(0.01)
    scores = decay(loop, Tail(0.5), RATE)
    assert scores.effect_s > 0.4 and scores.model_s is None and scores.error is None


@pytest.mark.parametrize("effect", [RoomReverb(decay_s=0.5), Delay(delay_ms=50.0)])
def test_reverbs_and_delays_have_a_tail(effect: Effect) -> None:
    assert decay(model_of(torch.ones(1)), effect, RATE).effect_s > 0.3


@pytest.mark.parametrize(
    "effect", [Passthrough(), Tanh(), Tremolo(), Highpass(), Convolution(), Delay(delay_ms=300.0, feedback=0.0)]
)
def test_other_effects_have_none(effect: Effect) -> None:
    assert decay(model_of(torch.ones(1)), effect, RATE) is None
