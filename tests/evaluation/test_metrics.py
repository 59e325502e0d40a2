"""Metrics against closed forms."""

import pytest
import torch

from fxemu.evaluation import metrics

Y = torch.sin(torch.arange(44_100) * 0.05)


def test_esr_and_nmae_of_a_known_error():
    assert metrics.esr(1.1 * Y, Y) == pytest.approx(0.01, rel=1e-4)
    assert metrics.nmae(1.1 * Y, Y) == pytest.approx(0.1, rel=1e-4)
    assert metrics.esr(Y, Y) == 0


def test_esr_in_db_ends_at_its_floor():
    assert [metrics.esr_db(esr) for esr in (1.0, 0.01, 0.0)] == pytest.approx([0.0, -20.0, -120.0])


def test_inverted_polarity_scores_four():
    assert metrics.esr(-Y, Y) == pytest.approx(4.0, rel=1e-6)


def test_inverted_esr_is_the_lower_one_where_a_sign_is_wrong():
    assert metrics.inverted_esr(-0.9 * Y, Y) == pytest.approx(0.01, rel=1e-4)
    assert metrics.inverted_esr(0.9 * Y, Y) == pytest.approx(1.9**2, rel=1e-4) and metrics.esr(0.9 * Y, Y) < 0.011


def test_dc_of_a_constant_offset():
    assert metrics.dc(Y + 0.1, Y) == pytest.approx(0.01 / float(Y.square().mean()), rel=1e-3)


def test_preemphasis_is_a_first_order_difference():
    assert torch.allclose(metrics.preemphasis(Y)[1:], Y[1:] - 0.85 * Y[:-1], atol=1e-6)


def tones(low: float, high: float, rate: int = 44_100) -> torch.Tensor:
    """A second of a tone of 200 Hz and one of 6 kHz."""
    t = torch.arange(rate) / rate
    return low * torch.sin(2 * torch.pi * 200 * t) + high * torch.sin(2 * torch.pi * 6000 * t)


def test_perceptual_errors_weigh_bass_and_treble_by_their_definitions():
    target, bass_off, treble_off = tones(0.5, 0.1), tones(0.45, 0.1), tones(0.5, 0.09)
    assert metrics.treble_esr(bass_off, target, 44_100) < 1e-6
    assert metrics.treble_esr(treble_off, target, 44_100) == pytest.approx(0.01, rel=1e-3)
    assert metrics.treble_esr(target, 0 * target, 8000) == 0
    assert metrics.treble_level_db(bass_off, target, 44_100) == pytest.approx(0, abs=1e-6)
    assert metrics.treble_level_db(treble_off, target, 44_100) == pytest.approx(-0.915, abs=1e-3)
    # IEC 61672-1's table: -10.9 dB at 200 Hz, -0.1 dB at 6.3 kHz.
    powers = 0.5**2 * 10**-1.09, 0.1**2 * 10**-0.01
    assert metrics.a_weighted_esr(bass_off, target, 44_100) == pytest.approx(0.01 * powers[0] / sum(powers), rel=0.02)
    assert metrics.a_weighted_esr(treble_off, target, 44_100) == pytest.approx(0.01 * powers[1] / sum(powers), rel=0.02)


def test_a_loudness_error_is_the_gain_in_db():
    assert metrics.loudness_error_lu(0.5 * Y, Y, 44_100) == pytest.approx(-6.02, abs=0.01)
    assert metrics.loudness_error_lu(0 * Y, Y, 44_100) == 0


def test_mrstft_is_zero_for_the_same_and_grows_with_the_error():
    noise = torch.randn(44_100, generator=torch.Generator().manual_seed(0))
    assert metrics.mrstft(Y, Y) == 0
    assert metrics.mrstft(Y + 0.1 * noise, Y) > metrics.mrstft(Y + 0.01 * noise, Y) > 0


def test_a_run_stuck_at_its_limit_or_not_finite_has_diverged():
    assert metrics.diverged(torch.full((44_100,), 1.2), 1.2)
    assert metrics.diverged(torch.full((100,), float("nan")), 1.2)
    assert not metrics.diverged(Y, 1.2)


def test_samples_to_divergence():
    well = torch.rand(50_000) - 0.5
    assert metrics.samples_to_divergence(well, 1.0) is None
    assert metrics.samples_before_divergence(well, 1.0) == well.numel()
    stuck = torch.cat((well[:3000], torch.full((60_000,), 1.0)))
    assert metrics.samples_to_divergence(stuck, 1.0) == metrics.samples_before_divergence(stuck, 1.0) == 3000
