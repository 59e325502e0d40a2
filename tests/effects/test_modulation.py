"""Modulation: oscillators, pitch, combs and notches."""

import math
from collections.abc import Callable

import pytest
import torch
from helpers.signals import RATE, decibels, gain_db, impulse_response, noise, sine

from fxemu.effects import Chorus, Effect, Flanger, Phaser, RingModulator, Tremolo, Vibrato, Wah
from fxemu.effects.modulation import oscillator


@pytest.mark.parametrize("start", [0, 777])
def test_ring_modulator_is_dry_times_sine(start: int) -> None:
    dry = noise(5000)
    t = (torch.arange(5000, dtype=torch.float64) + start) / RATE
    expected = dry * torch.sin(2 * math.pi * 440 * t)
    assert torch.allclose(RingModulator(440)(dry, RATE, start).double(), expected, atol=1e-7)


def test_ring_modulator_shifts_a_sine_to_sum_and_difference() -> None:
    spectrum = torch.fft.rfft(RingModulator(1000)(sine(3000), RATE)).abs() / (RATE / 2)
    assert spectrum[[2000, 3000, 4000]].tolist() == pytest.approx([0.5, 0, 0.5], abs=1e-4)


@pytest.mark.parametrize("make", [RingModulator, Tremolo])
@pytest.mark.parametrize("waveform", ["sine", "triangle", "square"])
def test_depth_0_leaves_dry_alone(make: Callable[..., Effect], waveform: str) -> None:
    dry = noise(1000)
    assert torch.equal(make(depth=0, waveform=waveform)(dry, RATE), dry)


@pytest.mark.parametrize("waveform", ["sine", "triangle", "square"])
@pytest.mark.parametrize("depth", [0.25, 1.0])
def test_tremolo_goes_from_full_to_1_minus_depth(depth: float, waveform: str) -> None:
    wet = Tremolo(4, depth, waveform)(torch.ones(RATE), RATE)
    assert wet.max() == pytest.approx(1, abs=2e-4)
    assert wet.min() == pytest.approx(1 - depth, abs=2e-4)


@pytest.mark.parametrize(
    ("waveform", "eighths"),
    [
        ("sine", [0, 0.5**0.5, 1, 0.5**0.5, 0, -(0.5**0.5), -1, -(0.5**0.5)]),
        ("triangle", [0, 0.5, 1, 0.5, 0, -0.5, -1, -0.5]),
        ("square", [1, 1, 1, 1, -1, -1, -1, -1]),
    ],
)
def test_oscillators(waveform: str, eighths: list[float]) -> None:
    assert oscillator(waveform, 1, 8, 8, 0).tolist() == pytest.approx(eighths, abs=1e-12)
    assert oscillator(waveform, 1, 3, 8, 13).tolist() == pytest.approx(eighths[5:], abs=1e-12)


def frequencies(wet: torch.Tensor) -> torch.Tensor:
    """Frequency in Hz of a wet sine, away from its ends and over 10 ms each: the turns of its analytic signal."""
    spectrum = torch.fft.fft(wet.double())
    spectrum[wet.numel() // 2 + 1 :] = 0
    analytic = torch.fft.ifft(spectrum)
    turns = torch.angle(analytic[1:] * analytic[:-1].conj()) / (2 * math.pi)
    return torch.nn.functional.avg_pool1d(turns[None, 4000:-4000] * RATE, 441, 1)[0]


@pytest.mark.parametrize(("rate_hz", "depth_ms"), [(5, 1), (2, 4)])
def test_vibrato_deviates_by_pi_rate_depth(rate_hz: float, depth_ms: float) -> None:
    pitch = frequencies(Vibrato(rate_hz, depth_ms)(sine(1000, samples=2 * RATE), RATE))
    deviation = 1000 * math.pi * rate_hz * depth_ms / 1000
    assert float(pitch.max()) == pytest.approx(1000 + deviation, abs=0.03 * deviation)
    assert float(pitch.min()) == pytest.approx(1000 - deviation, abs=0.03 * deviation)


@pytest.mark.parametrize("frequency_hz", [100, 1000, 5000])
def test_a_vibrato_that_stands_still_is_a_delay(frequency_hz: int) -> None:
    """30.5 samples: halfway between two of them, where interpolation is worst."""
    dry = sine(frequency_hz)
    wet = Vibrato(depth_ms=0, delay_ms=30.5 / RATE * 1000)(dry, RATE)
    t = torch.arange(RATE, dtype=torch.float64) - 30.5
    expected = torch.sin(2 * math.pi * frequency_hz * t / RATE)
    assert decibels((wet - expected)[100:].norm() / expected.norm()) < -40


def test_a_chorus_has_its_voices() -> None:
    response = impulse_response(Chorus(depth_ms=4, delay_ms=10, voices=4, mix=0.5), 2000)
    assert float(response[0]) == pytest.approx(0.5)
    # Phases 0, 1/4, 1/2 and 3/4 of a sine: delays of 12, 14, 12 and 10 ms.
    for delay_ms, voices in ((10, 1), (12, 2), (14, 1)):
        place = round(delay_ms * RATE / 1000)
        assert float(response[place - 15 : place + 16].sum()) == pytest.approx(voices / 8, abs=0.005)


def test_choruss_voices_deviate_in_pitch() -> None:
    pitch = frequencies(Chorus(2, 4, voices=1, mix=1)(sine(1000, samples=2 * RATE), RATE))
    assert float(pitch.max()) == pytest.approx(1000 * (1 + math.pi * 2 * 0.004), abs=1)


@pytest.mark.parametrize("feedback", [0.0, 0.6, -0.6])
def test_a_flanger_that_stands_still_is_a_comb(feedback: float) -> None:
    """wet = dry / 2 + d / 2, d[n] = dry[n - 40] + feedback d[n - 40]."""
    effect = Flanger(depth_ms=0, delay_ms=40 / RATE * 1000, feedback=feedback)
    response = impulse_response(effect, 401)
    expected = torch.zeros(401)
    expected[0] = 0.5
    expected[40::40] = 0.5 * torch.tensor([feedback]) ** torch.arange(10)
    assert torch.allclose(response, expected, atol=1e-5)


@pytest.mark.parametrize(("second", "notch_hz"), [(0.25, 100), (0.75, 500)])
def test_a_flangers_notch_moves(second: float, notch_hz: float) -> None:
    """At the turning points of its sine the delay stands still, at 5 ms and 1 ms: the first notch is at 1 / 2 delay."""
    effect = Flanger(rate_hz=1, depth_ms=4, delay_ms=1, feedback=0)
    part = slice(int(second * RATE) - 1000, int(second * RATE) + 1000)

    def gain(frequency_hz: float) -> float:
        dry = sine(frequency_hz)
        return float(effect(dry, RATE)[part].norm() / dry[part].norm())

    assert gain(notch_hz) < 0.1
    assert gain(2 * notch_hz) > 0.9


@pytest.mark.parametrize("stages", [2, 4, 8])
def test_a_phasers_notches(stages: int) -> None:
    """They are where each all-pass turns by 2 atan(f / corner) = (2 k + 1) pi / stages."""
    effect = Phaser(low_hz=1000, high_hz=1000, stages=stages, feedback=0)
    corner = math.tan(math.pi * 1000 / RATE)
    response = torch.fft.rfft(impulse_response(effect).double()).abs()
    for k in range(stages // 2):
        notch_hz = RATE / math.pi * math.atan(corner * math.tan((2 * k + 1) * math.pi / (2 * stages)))
        if notch_hz > 100:
            assert decibels(response[round(notch_hz)]) < -30
    assert decibels(response[1]) == pytest.approx(0, abs=0.01)
    assert decibels(response.max()) == pytest.approx(0, abs=0.01)


def test_a_phasers_feedback_raises_its_peaks() -> None:
    response = torch.fft.rfft(impulse_response(Phaser(low_hz=1000, high_hz=1000, feedback=0.5, mix=1)).double()).abs()
    assert float(response.max()) == pytest.approx(2, abs=0.01)
    assert float(response.min()) == pytest.approx(1 / 1.5, abs=0.01)


def test_a_wah_moves_between_its_frequencies() -> None:
    """At the turning points of its sine, a second each, the band-pass stands at its ends."""
    effect = Wah(rate_hz=0.5, low_hz=400, high_hz=1600, q=10)
    for frequency_hz, second in ((1600, 0.5), (400, 1.5)):
        wet = effect(sine(frequency_hz, samples=2 * RATE), RATE)
        part = wet[int(second * RATE) - 500 : int(second * RATE) + 500]
        assert float(part.abs().max()) == pytest.approx(1, abs=0.02)
    assert gain_db(effect, 6400) < -30
