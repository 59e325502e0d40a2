"""Delays, reverbs, convolution, and effects made of effects."""

import math
from pathlib import Path

import pytest
import torch
from helpers.signals import RATE, decibels, impulse_response, noise
from torch import Tensor

from fxemu.audio.source import AudioError
from fxemu.audio.tensors import write_wav
from fxemu.effects import (
    Chain,
    Convolution,
    Delay,
    Distortion,
    Effect,
    Hysteresis,
    Lowpass,
    Parallel,
    PlateReverb,
    RingModulator,
    RoomReverb,
    SpringReverb,
    Tanh,
)


@pytest.mark.parametrize("feedback", [0.0, 0.4, 0.9])
def test_echoes_come_at_their_times_and_fall_by_the_feedback(feedback: float) -> None:
    response = impulse_response(Delay(100, feedback, damping_hz=20_000, mix=0.5))
    assert float(response[0]) == 0.5
    for k in range(1, 5):
        # The loop's average spreads an echo over a few samples and keeps its sum.
        echo = response[4410 * k : 4410 * k + 100]
        assert float(echo.sum()) == pytest.approx(0.5 * feedback ** (k - 1), abs=1e-4)
        assert float(response[4410 * k - 100 : 4410 * k].abs().max()) < 1e-4


def test_damping_darkens_all_echoes_but_the_first() -> None:
    response = impulse_response(Delay(100, 0.5, damping_hz=1000, mix=1))
    spectra = [torch.fft.rfft(response[4410 * k : 4410 * k + 4410]).abs() for k in (1, 2, 3)]
    ratios_db = [[decibels(spectrum[f]) for f in (1, 100)] for spectrum in spectra]  # near 0 and at 1000 Hz
    assert ratios_db[0] == pytest.approx([0, 0], abs=0.01)
    assert ratios_db[1][1] - ratios_db[1][0] == pytest.approx(-3, abs=0.4)
    assert ratios_db[2][1] - ratios_db[2][0] == pytest.approx(-6, abs=0.8)


def decay_s(response: Tensor) -> float:
    """Time to -60 dB, from the slope of the energy that is still to come between -5 and -35 dB (Schroeder 1965)."""
    left_db = 10 * response.double().square().flip(0).cumsum(0).flip(0).log10()
    left_db = left_db - left_db[0]
    first, last = (int((left_db < level).int().argmax()) for level in (-5, -35))
    return 2 * (last - first) / RATE


@pytest.mark.parametrize("make", [RoomReverb, PlateReverb, SpringReverb])
@pytest.mark.parametrize("wanted_s", [0.5, 1.5, 4.0])
def test_reverbs_decay_in_their_time(make: type[Effect], wanted_s: float) -> None:
    """In the octaves around 250 Hz, where nothing is damped."""
    response = impulse_response(make(decay_s=wanted_s, mix=1), int(1.5 * wanted_s * RATE))
    assert decay_s(Lowpass(500)(response, RATE)) == pytest.approx(wanted_s, rel=0.08)


@pytest.mark.parametrize("make", [RoomReverb, PlateReverb, SpringReverb])
def test_a_reverb_is_as_loud_as_dry_and_100_db_down_when_it_ends(make: type[Effect]) -> None:
    effect = make(decay_s=1, mix=1)
    response = impulse_response(effect, 3 * RATE)
    assert float(response.double().square().sum()) == pytest.approx(1, abs=1e-3)
    end = math.ceil(effect.memory_s * RATE)
    # FFTs leave rounding noise, far below that.
    assert decibels(response[end:].abs().max()) < -120
    assert decibels(response[end - 5000 : end].abs().max() / response.abs().max()) < -60


@pytest.mark.parametrize("make", [RoomReverb, PlateReverb])
def test_damping_shortens_the_highs(make: type[Effect]) -> None:
    response = impulse_response(make(damping_hz=3000, mix=1), 2 * RATE)
    highs = response - Lowpass(4000)(response, RATE)
    assert decay_s(highs) < 0.7 * decay_s(Lowpass(500)(response, RATE))


def test_a_plate_is_dense_before_a_room_is() -> None:
    """Share of samples that carry something in the first 30 ms."""
    plate, room = (impulse_response(effect, RATE // 33) for effect in (PlateReverb(mix=1), RoomReverb(mix=1)))
    shares = [float((response.abs() > 0.01 * response.abs().max()).float().mean()) for response in (plate, room)]
    assert shares[0] > 4 * shares[1]


def test_the_reverb_of_a_larger_room_starts_later() -> None:
    for size_m in (5, 20):
        response = impulse_response(RoomReverb(size_m=size_m, mix=1))
        assert int((response.abs() > 1e-6).int().argmax()) == round(size_m / 343 * RATE)


def test_a_spring_chirps_upwards() -> None:
    """One traversal: 40 ms and the all-passes' delay, stretch (1 - a^2) / |1 + a e^(-jw)|^2 samples a stage."""
    response = impulse_response(SpringReverb(mix=1), RATE // 8)
    part = response[: int(0.115 * RATE)]  # the first echo; the second comes after three traversals

    def arrival_s(frequency_hz: float) -> float:
        t = torch.arange(part.numel()) / RATE
        turn = torch.exp(-2j * math.pi * frequency_hz * t)
        kernel = torch.hann_window(441).to(turn.dtype)[None, None]
        level = torch.nn.functional.conv1d((part * turn)[None, None], kernel, padding=220).abs()[0, 0]
        return float(level.argmax()) / RATE

    w = 2 * math.pi * 6 / RATE  # times the stretch of 6 samples
    for frequency_hz in (500, 2000, 3000):
        chain = 60 * 6 * 0.64 / (1.36 + 1.2 * math.cos(w * frequency_hz)) / RATE
        assert arrival_s(frequency_hz) == pytest.approx(0.04 + chain, abs=0.003)


def test_convolution_is_a_sum_of_delayed_dry(tmp_path: Path) -> None:
    taps = torch.zeros(300)
    taps[[0, 100, 250]] = torch.tensor([0.6, -0.8, 0.0])
    write_wav(tmp_path / "taps.wav", taps, RATE)
    dry = noise(2000)
    wet = Convolution(str(tmp_path / "taps.wav"))(dry, RATE)
    expected = 0.6 * dry
    expected[100:] -= 0.8 * dry[:-100]
    assert torch.allclose(wet, expected, atol=1e-5)


def test_an_impulse_response_is_resampled(tmp_path: Path) -> None:
    write_wav(tmp_path / "click.wav", torch.eye(4410)[441], RATE)  # a click after 10 ms
    click = torch.zeros(8000)
    click[0] = 1.0
    assert int(Convolution(str(tmp_path / "click.wav"))(click, 8000).abs().argmax()) == pytest.approx(80, abs=1)


def test_the_cabinet_takes_out_rumble_and_fizz() -> None:
    response = torch.fft.rfft(impulse_response(Convolution()).double()).abs()
    middle = response[200:3000].mean()
    assert decibels(response[20:40].mean() / middle) < -12
    assert decibels(response[9000:].mean() / middle) < -18


@pytest.mark.parametrize(
    ("samples", "message"),
    [(torch.zeros(100), "is silent; give an impulse response"), (torch.ones(31 * 8000), "lasts 31 s; at most 30 s")],
)
def test_a_useless_impulse_response_is_refused(tmp_path: Path, samples: Tensor, message: str) -> None:
    write_wav(tmp_path / "x.wav", samples, 8000)
    with pytest.raises(ValueError, match=message):
        Convolution(str(tmp_path / "x.wav"))


def test_a_missing_impulse_response_is_named(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"none\.wav"):
        Convolution(str(tmp_path / "none.wav"))


def test_a_chain_is_one_effect_after_the_other() -> None:
    dry, parts = noise(3000), [Tanh(5), RingModulator(440), Lowpass(2000)]
    expected = dry
    for part in parts:
        expected = part(expected, RATE, 123)
    assert torch.equal(Chain(parts)(dry, RATE, 123), expected)


@pytest.mark.parametrize("mix", [0.0, 0.25, 1.0])
def test_parallel_is_the_mean_of_its_effects_mixed_with_dry(mix: float) -> None:
    dry, parts = noise(3000), [Tanh(5), Lowpass(2000)]
    mean = sum(part(dry, RATE) for part in parts) / 2
    assert torch.allclose(Parallel(parts, mix)(dry, RATE), (1 - mix) * dry + mix * mean, atol=1e-7)


def test_combined_effects_have_the_memory_of_their_parts() -> None:
    short, long = Distortion(), Delay()
    assert Chain([short, long]).memory_s >= short.memory_s + long.memory_s
    assert Parallel([short, long]).memory_s == long.memory_s
    assert Chain([short, Hysteresis()]).memory_s is None
    assert Parallel([short, Hysteresis()]).memory_s is None
