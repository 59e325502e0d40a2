"""Filters: gains and cutoffs in closed form."""

import math

import pytest
from helpers.signals import RATE, gain_db, noise

from fxemu.effects import AutoWah, Bandpass, Effect, Highpass, Lowpass, ParametricEQ, ResonantLowpass, Wah

HALF_POWER_DB = -10 * math.log10(2)


@pytest.mark.parametrize("cutoff_hz", [200, 1000, 5000])
def test_lowpass_is_3_db_down_at_its_cutoff(cutoff_hz: float) -> None:
    assert gain_db(Lowpass(cutoff_hz), cutoff_hz) == pytest.approx(-10 * math.log10(2), abs=0.05)
    assert gain_db(Lowpass(cutoff_hz), cutoff_hz / 10) == pytest.approx(0, abs=0.01)


def test_lowpass_falls_by_24_db_an_octave() -> None:
    lowpass = Lowpass(200)
    assert gain_db(lowpass, 800) - gain_db(lowpass, 1600) == pytest.approx(24, abs=0.3)
    assert gain_db(lowpass, 1600) - gain_db(lowpass, 3200) == pytest.approx(24, abs=0.8)


def test_lowpass_too_near_to_half_the_sample_rate() -> None:
    with pytest.raises(ValueError, match=r"cutoff: got 5000 Hz; must be at most 0.48 of the sample rate \(3840 Hz\)"):
        Lowpass(5000)(noise(10), 8000)


@pytest.mark.parametrize("cutoff_hz", [200, 1000, 5000])
def test_highpass_is_3_db_down_at_its_cutoff(cutoff_hz: float) -> None:
    assert gain_db(Highpass(cutoff_hz), cutoff_hz) == pytest.approx(HALF_POWER_DB, abs=0.05)
    assert gain_db(Highpass(cutoff_hz), cutoff_hz // 2) == pytest.approx(-24, abs=1.5)
    assert gain_db(Highpass(200), 4000) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("q", [0.5, 2, 10])
def test_bandpass_is_0_db_at_its_centre_and_3_db_down_at_its_edges(q: float) -> None:
    # The edges of s / q / (s^2 + s / q + 1) are at (sqrt(1 + 4 q^2) +- 1) / 2 q, before the bilinear transform.
    effect = Bandpass(1000, q)
    edges = [(math.sqrt(1 + 4 * q * q) + sign) / (2 * q) for sign in (-1, 1)]
    warped = [round(RATE / math.pi * math.atan(math.tan(math.pi * 1000 / RATE) * edge)) for edge in edges]
    assert gain_db(effect, 1000) == pytest.approx(0, abs=0.01)
    assert [gain_db(effect, edge) for edge in warped] == pytest.approx([HALF_POWER_DB] * 2, abs=0.1)


@pytest.mark.parametrize("q", [0.5, 2, 20])
def test_resonant_lowpass_has_gain_q_at_its_cutoff(q: float) -> None:
    effect = ResonantLowpass(800, q)
    assert gain_db(effect, 800, level=0.01) == pytest.approx(20 * math.log10(q), abs=0.05)
    assert gain_db(effect, 20) == pytest.approx(0, abs=0.02)
    assert gain_db(effect, 3200) - gain_db(effect, 6400) == pytest.approx(12, abs=1.5)


@pytest.mark.parametrize("gain", [-24, -6, 12, 24])
def test_equalizer_bands_have_their_gains(gain: float) -> None:
    low, peak, high = (
        ParametricEQ(**{"low_db": 0, "peak_db": 0, "high_db": 0, "peak_hz": 1000, name: gain})
        for name in ("low_db", "peak_db", "high_db")
    )
    assert [gain_db(low, f, 0.01) for f in (10, 150, 6000)] == pytest.approx([gain, gain / 2, 0], abs=0.1)
    assert [gain_db(peak, f, 0.01) for f in (10, 1000, 20_000)] == pytest.approx([0, gain, 0], abs=0.1)
    assert [gain_db(high, f, 0.01) for f in (100, 3000, 20_000)] == pytest.approx([0, gain / 2, gain], abs=0.1)


@pytest.mark.parametrize("center_hz", [400, 1500])
def test_a_wah_that_stands_still_is_a_bandpass(center_hz: float) -> None:
    dry = noise(5000)
    still = Wah(low_hz=center_hz, high_hz=center_hz, q=5)(dry, RATE)
    assert (still - Bandpass(center_hz, 5)(dry, RATE)).abs().max() < 1e-5


@pytest.mark.parametrize(("level", "center_hz"), [(1e-4, 300), (0.5, 2400)])
def test_an_autowah_opens_with_the_level(level: float, center_hz: float) -> None:
    effect = AutoWah(sensitivity_db=12, low_hz=300, high_hz=2400, attack_ms=1, release_ms=500)
    assert gain_db(effect, center_hz, level) == pytest.approx(0, abs=0.3)
    assert gain_db(effect, 3 * center_hz, level) < -12


@pytest.mark.parametrize("effect", [Highpass(5000), Bandpass(5000), Wah(high_hz=5000), ParametricEQ(high_hz=5000)])
def test_a_frequency_too_near_to_half_the_sample_rate(effect: Effect) -> None:
    with pytest.raises(ValueError, match=r"got 5000 Hz; must be at most 0.48 of the sample rate \(3840 Hz\)"):
        effect(noise(10), 8000)
