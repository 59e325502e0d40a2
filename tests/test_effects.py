"""One contract for every effect, then the physics of each."""

import inspect
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import fxemu.effects
from fxemu.effects import Distortion, Effect, EffectError, Lowpass, Passthrough, RingModulator, Tanh, Tremolo
from fxemu.effects.distortion import CLIPPERS
from fxemu.effects.modulation import oscillator

RATE = 44_100
CLASSES = [getattr(fxemu.effects, name) for name in fxemu.effects.__all__]
# What runs something of the user's has no defaults, and tests of its own.
OWN = {"Command", "Plugin", "Python", "Recorded"}
EFFECTS = [c for c in CLASSES if issubclass(c, Effect) and not inspect.isabstract(c) and c.__name__ not in OWN]
each_effect = pytest.mark.parametrize("make", EFFECTS, ids=lambda make: make.__name__)


def noise(samples: int) -> Tensor:
    return torch.rand(samples, generator=torch.Generator().manual_seed(0)) * 2 - 1


def sine(frequency_hz: float, level: float = 1.0, samples: int = RATE) -> Tensor:
    t = torch.arange(samples, dtype=torch.float64) / RATE
    return (level * torch.sin(2 * math.pi * frequency_hz * t)).float()


def gain_db(effect: Effect, frequency_hz: float, level: float = 0.5) -> float:
    """Gain at a whole frequency in Hz: what is left of a sine at that frequency in its second half second."""
    half = RATE // 2
    turn = torch.exp(-2j * math.pi * frequency_hz * torch.arange(half, dtype=torch.float64) / RATE)
    amplitude = (effect(sine(frequency_hz, level), RATE)[-half:] * turn).mean().abs() * 2
    return 20 * math.log10(amplitude / level)


@each_effect
@pytest.mark.parametrize("sample_rate", [22_050, 44_100])
def test_wet_is_like_dry(make: type[Effect], sample_rate: int) -> None:
    dry = noise(5000)
    kept = dry.clone()
    wet = make()(dry, sample_rate)
    assert wet.shape == dry.shape
    assert wet.dtype == torch.float32
    assert torch.isfinite(wet).all()
    assert torch.equal(wet, make()(dry, sample_rate)), "not deterministic"
    assert torch.equal(dry, kept), "dry was changed"


@each_effect
def test_a_middle_is_as_in_the_whole_song(make: type[Effect]) -> None:
    effect, dry, start = make(), noise(30_000), 12_345
    memory = start if effect.memory_s is None else math.ceil(effect.memory_s * RATE)
    whole = effect(dry, RATE)
    middle = effect(dry[start - memory :], RATE, start=start - memory)[memory:]
    assert memory < start or effect.memory_s is None
    assert (middle - whole[start:]).abs().max() <= 1e-4 * whole.abs().max()


@each_effect
def test_no_look_ahead(make: type[Effect]) -> None:
    dry = noise(2000)
    wet = make()(dry, RATE)
    assert torch.allclose(make()(dry[:1000], RATE), wet[:1000], atol=1e-6)


@each_effect
def test_silence_stays_silent(make: type[Effect]) -> None:
    assert torch.equal(make()(torch.zeros(1000), RATE), torch.zeros(1000))


@each_effect
def test_one_sample(make: type[Effect]) -> None:
    wet = make()(torch.ones(1), RATE)
    assert wet.shape == (1,)
    assert torch.isfinite(wet).all()


def test_passthrough_is_a_copy() -> None:
    dry = noise(100)
    wet = Passthrough()(dry, RATE)
    assert torch.equal(wet, dry)
    assert wet.data_ptr() != dry.data_ptr()


@pytest.mark.parametrize("cutoff_hz", [200, 1000, 5000])
def test_lowpass_is_3_db_down_at_its_cutoff(cutoff_hz: float) -> None:
    assert gain_db(Lowpass(cutoff_hz), cutoff_hz) == pytest.approx(-10 * math.log10(2), abs=0.05)
    assert gain_db(Lowpass(cutoff_hz), cutoff_hz / 10) == pytest.approx(0, abs=0.01)


def test_lowpass_falls_by_24_db_an_octave() -> None:
    lowpass = Lowpass(200)
    assert gain_db(lowpass, 800) - gain_db(lowpass, 1600) == pytest.approx(24, abs=0.3)
    assert gain_db(lowpass, 1600) - gain_db(lowpass, 3200) == pytest.approx(24, abs=0.8)


def test_lowpass_above_half_the_sample_rate() -> None:
    with pytest.raises(ValueError, match=r"cutoff: got 5000 Hz; must be below half the sample rate \(4000 Hz\)"):
        Lowpass(5000)(noise(10), 8000)


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


def test_distortion_makes_odd_harmonics_and_the_asymmetric_one_even_ones_too() -> None:
    def harmonics(clip: str) -> Tensor:
        wet = Distortion(25, clip)(sine(500), RATE)[-RATE // 2 :]
        return torch.fft.rfft(wet).abs()[250:1250:250] / (RATE / 4)

    for clip in ("tanh", "hard"):
        _, second, third, _ = harmonics(clip)
        assert third > 0.1
        assert second < 1e-3
    assert harmonics("asymmetric")[1] > 0.02


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


@pytest.mark.parametrize(
    ("make", "argument", "got", "allowed"),
    [
        (Distortion, "drive_db", 61, "from -20 to 60 dB"),
        (Distortion, "highpass_hz", 9, "from 10 to 2000 Hz"),
        (Distortion, "lowpass_hz", 20_001, "from 200 to 20000 Hz"),
        (Distortion, "clip", "fuzz", "tanh, hard, asymmetric"),
        (Tanh, "gain", 0.01, "from 0.1 to 1000"),
        (Lowpass, "cutoff_hz", math.nan, "from 20 to 20000 Hz"),
        (RingModulator, "rate_hz", 0.5, "from 1 to 10000 Hz"),
        (RingModulator, "depth", -0.1, "from 0 to 1"),
        (Tremolo, "rate_hz", 51, "from 0.05 to 50 Hz"),
        (Tremolo, "depth", 1.1, "from 0 to 1"),
        (Tremolo, "waveform", "saw", "sine, triangle, square"),
    ],
)
def test_arguments_out_of_range(make: type[Effect], argument: str, got: object, allowed: str) -> None:
    with pytest.raises(ValueError, match=argument) as error:
        make(**{argument: got})
    assert f"{argument}: got {got!r}; " in str(error.value)
    assert str(error.value).endswith(allowed)


class Broken(Effect):
    """Returns whatever it is given."""

    def __init__(self, wet: Tensor) -> None:
        self.wet = wet

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        return self.wet


@pytest.mark.parametrize(
    ("wet", "reason"),
    [
        (torch.zeros(9), r"returned \(9,\) for a dry signal of \(10,\)"),
        (torch.full((10,), math.nan), "10 samples that are NaN or infinite, of 10"),
        (torch.tensor([0.0] * 9 + [math.inf]), "1 samples that are NaN or infinite, of 10"),
    ],
)
def test_a_broken_effect_is_named(wet: Tensor, reason: str) -> None:
    with pytest.raises(EffectError, match=f"effect Broken .*{reason}"):
        Broken(wet)(torch.zeros(10), RATE)
