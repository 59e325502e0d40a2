"""Transport, drift and polarity of simulated recordings are found, and undone; no wet comes before its cause."""

import math

import pytest
import torch
from helpers.boxes import BOXES, bass_and_sweep
from helpers.recordings import RATE, compressor, fuzz, interface, music, reverb

from fxemu.evaluation.metrics import esr
from fxemu.library.recordings.alignment import Alignment, align, correct


@pytest.fixture(scope="module")
def dry() -> torch.Tensor:
    return music(6)


@pytest.fixture(scope="module")
def bass() -> torch.Tensor:
    return bass_and_sweep()


@pytest.mark.parametrize(("number", "box"), list(enumerate(BOXES)), ids=BOXES)
def test_cause_comes_before_effect_and_transport_is_right_to_3_samples(bass, number, box):
    """Ten fuzzes and amplifiers, with delays from 0 to 1 s, without noise and at 60 dB."""
    delay = round(number / (len(BOXES) - 1) * RATE)
    wet = torch.cat((torch.zeros(delay), BOXES[box](bass), torch.zeros(RATE // 4)))
    noise = (
        torch.randn(wet.numel(), generator=torch.Generator().manual_seed(number)) * 1e-3 * wet.square().mean().sqrt()
    )
    found = align(bass, wet + noise * (number % 2))
    assert delay - 3 <= found.delay_samples <= delay
    assert found.drift_ppm == 0 and found.jump_samples == 0 and found.dependence > 7


@pytest.mark.parametrize(("effect", "polarity"), [(fuzz, 1), (reverb, -1), (compressor, 1)])
def test_transport_and_a_drift_beyond_doubt_at_40_db(dry, effect, polarity):
    found = align(dry, interface(polarity * effect(dry)))
    assert 214 <= found.delay_samples <= 217
    assert found.drift_ppm == pytest.approx(12, abs=1)
    assert found.polarity == polarity
    assert found.jump_samples == 0


@pytest.mark.parametrize(("delay", "ppm"), [(-31.7, 0.0), (5000.25, -150.0), (3.5, 400.0)])
def test_any_delay_and_drift(dry, delay, ppm):
    found = align(dry, interface(fuzz(dry), delay, ppm))
    assert delay - 4 <= found.delay_samples <= delay
    assert found.drift_ppm == pytest.approx(ppm, abs=1)


def test_a_correction_without_drift_moves_samples_and_changes_none(dry):
    wet = compressor(dry)
    recording = torch.cat((torch.zeros(300), -wet))
    found = align(dry, recording)
    late = 300 - found.delay_samples
    assert torch.equal(correct(recording, found, dry.numel())[late:], -wet[: wet.numel() - late])
    assert torch.equal(correct(recording, found, dry.numel(), flip=True)[late:], wet[: wet.numel() - late])


def test_a_correction_of_drift_leaves_the_noise_alone(dry):
    wet = compressor(dry)
    place = Alignment(217, 12.0)
    # 0.4 of a sample is left.
    shifted = correct(interface(wet, 217, 12.0), place, dry.numel())
    assert esr(shifted, wet) == pytest.approx(1.3e-4, rel=0.3)


def test_correction_of_a_drifting_sine_is_exact():
    t = torch.arange(20_000, dtype=torch.float64)
    got = correct(torch.sin(0.5 * t).float(), Alignment(10, 50.0), 15_000)
    assert (got - torch.sin(0.5 * (10 + t[:15_000] * (1 + 50e-6)))).abs()[100:].max() < 1e-4


def test_unrelated_recordings_do_not_depend(dry):
    assert align(dry, music(6, seed=5)).dependence < 7


def test_lost_samples_are_a_jump(dry):
    wet = interface(fuzz(dry))
    cut = 3 * RATE
    found = align(dry, torch.cat((wet[:cut], wet[cut + 64 :])))
    assert found.jump_samples == pytest.approx(-64, abs=2)
    assert found.jump_at / RATE == pytest.approx(3, abs=1)


def test_silent_and_short_signals_are_refused():
    with pytest.raises(ValueError, match="1000 samples are too few to align; at least 32768 are needed"):
        align(torch.ones(1000), torch.ones(1000))
    with pytest.raises(ValueError, match="wet is silent"):
        align(torch.ones(40_000), torch.zeros(40_000))
    with pytest.raises(ValueError, match="wet is constant"):
        align(torch.rand(40_000), torch.full((40_000,), 0.3))


@pytest.mark.parametrize("ppm", [0.0, 20.0])
def test_the_signal_outside_a_recording_is_silence(ppm):
    got = correct(torch.ones(1000), Alignment(-100, ppm), 2000)
    assert got.abs()[:60].max() == got.abs()[1150:].max() == 0
    assert math.isclose(float(got[500]), 1, abs_tol=1e-3)


@pytest.mark.parametrize("fraction", [0.0, 0.21, 0.5, 0.84])
def test_of_several_recordings_fractions_of_a_sample_are_taken_out(fraction: float) -> None:
    dry = music(3)
    wet = interface(0.5 * dry, 40 + fraction, 0, -80)
    place = align(dry, wet).at_peak()
    assert place.delay_samples == pytest.approx(40 + fraction, abs=0.08)
    left = correct(wet, place, dry.numel())[: dry.numel() - 200]
    assert esr(left, 0.5 * dry[: left.numel()]) < 2e-3
