"""Losses against closed forms."""

import math

import pytest
import torch

from fxemu.losses import ESR, MuLawMSE, esr, mulaw_mse


def test_mulaw_mse_between_silence_and_full_scale_is_one():
    assert float(mulaw_mse(torch.zeros(2, 1, 5), torch.ones(2, 1, 5))) == pytest.approx(1.0, abs=1e-6)


def test_mulaw_mse_weighs_the_same_error_more_where_it_is_quiet():
    quiet = mulaw_mse(torch.full((1, 1, 4), 0.011), torch.full((1, 1, 4), 0.01))
    loud = mulaw_mse(torch.full((1, 1, 4), 0.101), torch.full((1, 1, 4), 0.1))
    expected = (math.log1p(255 * 0.011) - math.log1p(255 * 0.01)) ** 2 / math.log1p(255) ** 2
    assert float(quiet) == pytest.approx(expected, rel=1e-3)
    assert quiet > 40 * loud


def test_esr_of_a_ten_per_cent_error_is_one_per_cent():
    target = torch.randn(3, 1, 400)
    assert float(esr(1.1 * target, target, floor=1e-12)) == pytest.approx(0.01, rel=1e-4)


def test_esr_of_silence_is_finite():
    assert torch.isfinite(esr(torch.full((1, 1, 8), 0.1), torch.zeros(1, 1, 8)))


def test_modules_pass_their_arguments_on():
    prediction, target = torch.rand(2, 1, 9), torch.rand(2, 1, 9)
    assert MuLawMSE(mu=100.0)(prediction, target) == mulaw_mse(prediction, target, 100.0)
    assert ESR(floor=0.5)(prediction, target) == esr(prediction, target, 0.5)


@pytest.mark.parametrize("build", [lambda: MuLawMSE(0.5), lambda: MuLawMSE(float("nan")), lambda: ESR(0.0)])
def test_arguments_out_of_range_are_refused(build):
    with pytest.raises(ValueError, match=r"got .* must be"):
        build()
