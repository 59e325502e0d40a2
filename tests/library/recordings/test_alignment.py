"""Delay, drift and polarity of simulated recordings are found, and undone."""

import math

import pytest
import torch
from helpers.recordings import RATE, compressor, fuzz, interface, music, reverb
from torchaudio.functional import lowpass_biquad

from fxemu.effects import Compressor, Distortion, Fuzz, PlateReverb, RoomReverb
from fxemu.evaluation.metrics import esr
from fxemu.library.recordings.alignment import Alignment, align, correct


@pytest.fixture(scope="module")
def dry() -> torch.Tensor:
    return music(8)


@pytest.mark.parametrize(("effect", "polarity"), [(fuzz, 1), (reverb, -1), (compressor, 1)])
def test_delay_to_a_twentieth_of_a_sample_and_drift_to_1_ppm_at_40_db(dry, effect, polarity):
    found = align(dry, interface(polarity * effect(dry)))
    assert found.delay_samples == pytest.approx(217.4, abs=0.05)
    assert found.drift_ppm == pytest.approx(12, abs=1)
    assert found.polarity == polarity
    assert abs(found.jump_samples) < 1


@pytest.mark.parametrize("seed", range(3))
def test_the_tail_of_a_reverb_does_not_bias_the_delay(dry, seed):
    found = align(dry, interface(reverb(dry, seed), 1234.56, -40))
    assert found.delay_samples == pytest.approx(1234.56, abs=0.05)
    assert found.drift_ppm == pytest.approx(-40, abs=1)
    assert found.error_samples < 0.02


def test_the_standard_error_of_dull_music_is_large_and_true(dry):
    dull = lowpass_biquad(lowpass_biquad(dry, RATE, 300), RATE, 300)
    found = align(dull, interface(reverb(dull, 3)))
    assert found.error_samples > 0.025
    assert found.delay_samples == pytest.approx(217.4, abs=4 * found.error_samples)


@pytest.mark.parametrize("effect", [Fuzz(), Distortion(), Compressor(), RoomReverb(), PlateReverb()])
def test_the_delay_of_an_effect_itself_does_not_depend_on_the_interface(dry, effect):
    wet = effect(dry, RATE)
    own, found = align(dry, interface(wet, 0, 0)), align(dry, interface(wet, 340.7, 30, seed=3))
    assert found.delay_samples - own.delay_samples == pytest.approx(340.7, abs=0.05)
    assert found.drift_ppm == pytest.approx(30, abs=1)


@pytest.mark.parametrize(("delay", "ppm"), [(-31.7, 0.0), (5000.25, -150.0), (3.5, 400.0)])
def test_any_delay_and_drift(dry, delay, ppm):
    found = align(dry, interface(fuzz(dry), delay, ppm))
    assert found.delay_samples == pytest.approx(delay, abs=0.05)
    assert found.drift_ppm == pytest.approx(ppm, abs=1)


def test_a_tone_control_is_part_of_the_effect_and_no_latency(dry):
    found = align(dry, interface(Distortion()(dry, RATE), delay=100))
    assert found.delay_samples == pytest.approx(100, abs=0.5)


def test_a_correction_leaves_the_noise_alone(dry):
    wet = compressor(dry)
    recording = interface(-wet)
    found = align(dry, recording)
    assert esr(correct(recording, found, dry.numel(), flip=True), wet) == pytest.approx(1.3e-4, rel=0.3)
    assert esr(correct(recording, found, dry.numel()), -wet) == pytest.approx(1.3e-4, rel=0.3)


def test_correction_of_a_sine_is_exact():
    t = torch.arange(20_000, dtype=torch.float64)
    place = Alignment(10.3, 50.0, 1, 1.0, 1.0)
    got = correct(torch.sin(0.5 * t).float(), place, 15_000)
    assert (got - torch.sin(0.5 * (10.3 + t[:15_000] * (1 + 50e-6)))).abs()[100:].max() < 1e-4


def test_unrelated_recordings_do_not_agree(dry):
    assert align(dry, music(8, seed=5)).coherence < 0.05


def test_lost_samples_are_a_jump(dry):
    wet = interface(fuzz(dry))
    cut = 4 * RATE
    found = align(dry, torch.cat((wet[:cut], wet[cut + 64 :])))
    assert found.jump_samples == pytest.approx(-64, abs=2)
    assert found.jump_at / RATE == pytest.approx(4, abs=1)


def test_silent_and_short_signals_are_refused():
    with pytest.raises(ValueError, match="1000 samples are too few to align; at least 32768 are needed"):
        align(torch.ones(1000), torch.ones(1000))
    with pytest.raises(ValueError, match="wet is silent"):
        align(torch.ones(40_000), torch.zeros(40_000))


def test_the_signal_outside_a_recording_is_silence():
    place = Alignment(-100.0, 0.0, 1, 1.0, 1.0)
    got = correct(torch.ones(1000), place, 2000)
    assert got.abs()[:60].max() == got.abs()[1150:].max() == 0
    assert math.isclose(float(got[500]), 1, abs_tol=1e-3)
