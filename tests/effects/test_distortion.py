"""Nonlinear effects: transfer curves, harmonics, aliasing."""

import math

import numpy as np
import pytest
import torch
from helpers.signals import RATE, decibels, gain_db, harmonics, noise, sine

from fxemu.effects import Bitcrusher, Distortion, Effect, Fuzz, Hysteresis, Overdrive, Tanh, Tube, Wavefolder
from fxemu.effects.distortion import CLIPPERS
from fxemu.effects.hysteresis import mean_play
from fxemu.effects.wavefolder import FOLDS


@pytest.mark.parametrize("gain", [0.1, 5.0, 100.0])
def test_tanh_is_tanh(gain: float) -> None:
    dry = noise(1000)
    assert torch.allclose(Tanh(gain)(dry, RATE).double(), torch.tanh(gain * dry.double()), atol=1e-5)


@pytest.mark.parametrize("clip", CLIPPERS)
@pytest.mark.parametrize("drive_db", [0, 25, 40])
def test_distortion_of_a_tiny_sine_is_its_drive_and_two_filters(clip: str, drive_db: float) -> None:
    filters_db = -10 * math.log10(1 + (80 / 1000) ** 2) - 10 * math.log10(1 + (1000 / 5000) ** 2)
    gain = gain_db(Distortion(drive_db, clip), 1000, level=1e-6)
    assert gain == pytest.approx(drive_db + filters_db, abs=0.05)


@pytest.mark.parametrize("frequency_hz", [80, 5000])
def test_distortion_filters_are_3_db_down_at_their_cutoffs(frequency_hz: float) -> None:
    effect = Distortion(0, highpass_hz=80, lowpass_hz=5000)
    assert gain_db(effect, frequency_hz, level=1e-4) == pytest.approx(-10 * math.log10(2), abs=0.05)


@pytest.mark.parametrize("clip", CLIPPERS)
def test_distortion_is_bounded(clip: str) -> None:
    wet = Distortion(60, clip)(noise(10_000), RATE)
    assert 0.5 < wet.abs().max() <= 1 + 1e-6


def test_hard_clip() -> None:
    x = torch.linspace(-3, 3, 61)
    assert CLIPPERS["hard"](x).tolist() == [min(max(value, -1.0), 1.0) for value in x.tolist()]


@pytest.mark.parametrize("clip", CLIPPERS)
def test_clippers_have_slope_1_at_0(clip: str) -> None:
    step = torch.tensor([-1e-5, 1e-5], dtype=torch.float64)
    assert torch.allclose(CLIPPERS[clip](step) / step, torch.ones(2, dtype=torch.float64), atol=1e-4)


def test_asymmetric_clip_is_lower_on_the_negative_side() -> None:
    up, down = CLIPPERS["asymmetric"](torch.tensor([50.0, -50.0])).tolist()
    assert (up, down) == (pytest.approx(1), pytest.approx(-0.6))


@pytest.mark.parametrize(
    ("effect", "even"),
    [
        (Distortion(25, "tanh"), False),
        (Distortion(25, "hard"), False),
        (Distortion(25, "asymmetric"), True),
        (Overdrive(), False),
        (Fuzz(bias=0), False),
        (Fuzz(20, bias=0.8), True),
        (Tube(asymmetry=0, sag=0), False),
        (Tube(), True),
        (Wavefolder(), False),
        (Wavefolder(bias=0.3), True),
        (Hysteresis(), False),
    ],
)
def test_even_harmonics_come_from_asymmetry(effect: Effect, even: bool) -> None:
    _, second, third, fourth = harmonics(effect, 500, 4)
    assert third > 0.02
    assert (second > 0.01) == even
    assert (max(second, fourth) < 2e-3) != even


@pytest.mark.parametrize(
    "make",
    [
        lambda factor: Tanh(20, oversampling=factor),
        lambda factor: Distortion(40, "hard", lowpass_hz=20_000, oversampling=factor),
        lambda factor: Overdrive(40, lowpass_hz=20_000, oversampling=factor),
        lambda factor: Fuzz(lowpass_hz=20_000, oversampling=factor),
        lambda factor: Wavefolder(oversampling=factor),
        lambda factor: Tube(40, oversampling=factor),
        lambda factor: Hysteresis(24, oversampling=factor),
    ],
    ids=["tanh", "distortion", "overdrive", "fuzz", "wavefolder", "tube", "hysteresis"],
)
def test_oversampling_lowers_aliasing(make) -> None:
    """A sine of 4186 Hz: what lies between its harmonics, below 16 kHz, is folded down from above half the rate."""

    def aliasing_db(factor: int) -> float:
        spectrum = torch.fft.rfft(make(factor)(sine(4186, 0.8, 2 * RATE), RATE)[-RATE:] * torch.hann_window(RATE)).abs()
        own = torch.zeros(RATE // 2 + 1, dtype=torch.bool)
        for harmonic in range(0, RATE // 2, 4186):
            own[max(0, harmonic - 20) : harmonic + 20] = True
        return decibels(spectrum[:16_000][~own[:16_000]].norm() / spectrum[own].norm())

    assert aliasing_db(8) < aliasing_db(1) - 20


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("frequency_hz", [100, 1000, 10_000, 18_000])
def test_oversampling_has_no_latency(factor: int, frequency_hz: float) -> None:
    """A signal too soft to be distorted is neither changed nor delayed, to -70 dB."""
    dry = sine(frequency_hz, 1e-3)
    wet = Tanh(1, oversampling=factor)(dry, RATE)
    assert decibels((wet - dry)[500:-500].norm() / dry[500:-500].norm()) < -70


@pytest.mark.parametrize("factor", [2, 8])
def test_an_oversampled_click_stays_where_it_is(factor: int) -> None:
    click = torch.zeros(1000)
    click[500] = 0.5
    assert int(Distortion(0, highpass_hz=10, lowpass_hz=20_000, oversampling=factor)(click, RATE).argmax()) == 500


def test_overdrive_leaves_lows_clean_and_drives_what_lies_above() -> None:
    low, mid = (harmonics(Overdrive(20), frequency_hz, 3, level=0.5) for frequency_hz in (50, 1000))
    assert low[2] < 0.01 * low[0]
    assert mid[2] > 0.1 * mid[0]
    assert gain_db(Overdrive(30, lowpass_hz=20_000), 3000, 1e-5) == pytest.approx(30 - 6, abs=1.0)
    assert gain_db(Overdrive(30, lowpass_hz=20_000), 3000, 1.0) < 3


def test_fuzz_is_a_square_wave_whose_duty_follows_the_bias() -> None:
    def share_above(bias: float) -> float:
        # Before the coupling capacitor's droop the upper half is where the slow part of the wave is above its middle.
        wet = Fuzz(20, bias, highpass_hz=10, lowpass_hz=20_000)(sine(200, 0.2), RATE)[RATE // 2 :]
        return float((wet > (wet.max() + wet.min()) / 2).float().mean())

    # Clipped at -1 and 1 about the bias, 2 sin crosses the middle where sin is -bias / 2.
    for bias in (-0.8, 0.0, 0.8):
        assert share_above(bias) == pytest.approx(0.5 + math.asin(bias / 2) / math.pi, abs=0.01)


@pytest.mark.parametrize(("shape", "slope"), [("triangle", 1), ("sine", math.pi / 2)])
def test_folds(shape: str, slope: float) -> None:
    x = torch.tensor([-3, -2, -1, 0, 1, 2, 3, 4, 5], dtype=torch.float64)
    assert FOLDS[shape](x).tolist() == pytest.approx([1, 0, -1, 0, 1, 0, -1, 0, 1], abs=1e-12)
    assert float(FOLDS[shape](torch.tensor(1e-6, dtype=torch.float64))) == pytest.approx(slope * 1e-6)


def test_a_wavefolder_is_a_triangle_of_a_ramp() -> None:
    ramp = torch.linspace(0, 1, 1001)
    wet = Wavefolder(20 * math.log10(4))(ramp, RATE)
    assert wet[[0, 250, 500, 750, 1000]].tolist() == pytest.approx([0, 1, 0, -1, 0], abs=1e-5)
    assert wet.diff().abs().tolist() == pytest.approx([0.004] * 1000, abs=1e-5)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_bitcrusher_has_its_steps(bits: int) -> None:
    dry = torch.linspace(-1, 1, 20_000)
    wet = Bitcrusher(bits, rate_hz=RATE)(dry, RATE)
    steps = wet.unique()
    assert steps.numel() == 2**bits
    assert steps.diff().tolist() == pytest.approx([2 / 2**bits] * (2**bits - 1))
    assert ((wet - dry).abs()[dry < 1 - 2 / 2**bits] <= 1 / 2**bits + 1e-6).all()


@pytest.mark.parametrize("start", [0, 7])
def test_a_bitcrusher_holds_its_samples(start: int) -> None:
    dry = noise(1000)
    wet = Bitcrusher(16, rate_hz=RATE / 4)(dry[start:], RATE, start)
    places = torch.arange(start, 1000) // 4 * 4
    inside = places >= start
    assert (wet - dry[places])[inside].abs().max() < 1e-4


def test_a_tube_saturates_lower_on_its_negative_side() -> None:
    slow = torch.cat((torch.full((200,), 1.0), torch.full((200,), -1.0)))
    wet = Tube(40, asymmetry=0.4, sag=0, highpass_hz=5)(slow, RATE)
    assert float(wet[1]) == pytest.approx(1, abs=0.01)
    assert float(wet[201] - wet[199]) == pytest.approx(-1.6, abs=0.01)


def test_a_tubes_supply_sags_and_comes_back_in_its_time() -> None:
    loud, soft = sine(1000, 1.0, RATE), sine(1000, 1e-3, RATE)
    wet = Tube(40, asymmetry=0, sag=0.5, sag_ms=50, highpass_hz=5)(torch.cat((loud, soft)), RATE)

    def peak(second: float) -> float:
        return float(wet[int(second * RATE) : int(second * RATE) + 441].abs().max())

    # Nearly a square wave: supply = 1 - 0.5 supply at rest, reached with the time constant 50 ms / 1.5.
    assert peak(0.9) == pytest.approx(1 / 1.5, abs=0.01)
    assert peak(0.005) > peak(0.05) > peak(0.2)
    assert peak(0.05 / 1.5) == pytest.approx(1 / 1.5 + (1 - 1 / 1.5) / math.e, abs=0.03)


def test_a_tube_of_a_tiny_sine_is_its_drive() -> None:
    assert gain_db(Tube(30), 1000, 1e-5) == pytest.approx(30, abs=0.05)


@pytest.mark.parametrize("radius", [0.1, 0.3])
@pytest.mark.parametrize("frequency_hz", [10, 1050])
def test_a_play_operators_loop_is_2_radii_wide_at_any_rate(radius: float, frequency_hz: float) -> None:
    """Its area is 4 r (a - r) for an amplitude a: a parallelogram 2 r wide and 2 (a - r) high."""
    u = sine(frequency_hz).double().numpy()
    p = mean_play(u, np.array([radius]))
    period = slice(-RATE // frequency_hz - 1, None)
    area = abs(float(np.trapezoid(p[period], u[period])))
    assert area == pytest.approx(4 * radius * (1 - radius), rel=0.03)


def test_hysteresis_remembers_the_last_extreme_however_long_ago() -> None:
    rest = torch.zeros(RATE)
    up, down = (Hysteresis()(torch.cat((torch.tensor([level]), rest)), RATE)[-1] for level in (1.0, -1.0))
    assert up > 0.05
    assert up == pytest.approx(-float(down))
