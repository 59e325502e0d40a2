"""Losses against closed forms."""

import math

import pytest
import torch
from torch import Tensor

from fxemu.losses import DC, ESR, MRSTFT, AWeightedESR, LogMel, MuLawMSE, PreemphasisESR, WeightedSum, evaluate_loss
from fxemu.losses.spectral import a_weighted_esr, a_weighting, fitting_resolutions, mrstft
from fxemu.losses.waveform import dc, esr, mulaw_mse, preemphasis_esr

RATE = 44_100
EVERY = {
    "mulaw_mse": MuLawMSE(),
    "esr": ESR(),
    "preemphasis_esr": PreemphasisESR(),
    "dc": DC(),
    "a_weighted_esr": AWeightedESR(RATE),
    "mrstft": MRSTFT(),
    "log_mel": LogMel(RATE),
}


def sine(frequency_hz: float, samples: int = 4410) -> Tensor:
    """(1, 1, samples) at amplitude 1."""
    return torch.sin(2 * math.pi * frequency_hz * torch.arange(samples) / RATE)[None, None]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_mulaw_mse_between_silence_and_full_scale_is_one():
    assert float(mulaw_mse(torch.zeros(2, 1, 5), torch.ones(2, 1, 5))) == pytest.approx(1.0, abs=1e-6)


def test_mulaw_mse_weighs_the_same_error_more_where_it_is_quiet():
    quiet = mulaw_mse(torch.full((1, 1, 4), 0.011), torch.full((1, 1, 4), 0.01))
    loud = mulaw_mse(torch.full((1, 1, 4), 0.101), torch.full((1, 1, 4), 0.1))
    expected = (math.log1p(255 * 0.011) - math.log1p(255 * 0.01)) ** 2 / math.log1p(255) ** 2
    assert float(quiet) == pytest.approx(expected, rel=1e-3)
    assert quiet > 40 * loud


def test_esr_of_a_ten_per_cent_error_is_one_per_cent():
    target = noise(3, 1, 400)
    assert float(esr(1.1 * target, target, floor=1e-12)) == pytest.approx(0.01, rel=1e-4)


def test_preemphasis_scales_a_sine_error_by_the_filters_gain():
    def gain(frequency_hz: float) -> float:
        return abs(1 - 0.85 * complex(math.cos(w := 2 * math.pi * frequency_hz / RATE), -math.sin(w))) ** 2

    ratio = preemphasis_esr(sine(1000) + 0.1 * sine(8000), sine(1000), floor=1e-12)
    assert float(ratio) == pytest.approx(0.01 * gain(8000) / gain(1000), rel=0.02)


def test_dc_of_an_offset_is_its_square_over_the_signals_power():
    target = sine(1000)
    assert float(dc(target + 0.1, target, floor=1e-12)) == pytest.approx(0.01 / 0.5, rel=1e-4)
    assert float(dc(target + 0.1 * sine(2000), target)) < 1e-10


@pytest.mark.parametrize(
    ("frequency_hz", "gain_db"),
    [(31.623, -39.4), (100, -19.1), (251.19, -8.6), (1000, 0.0), (1995.3, 1.2), (3981.1, 1.0), (10_000, -2.5)],
)
def test_a_weighting_is_the_standards_table(frequency_hz, gain_db):
    """IEC 61672-1, table 3, at the exact third-octave frequencies."""
    gain = a_weighting(torch.tensor([float(frequency_hz)]))
    assert 20 * math.log10(float(gain)) == pytest.approx(gain_db, abs=0.06)


def test_a_weighting_discounts_an_error_at_100_hz_by_19_db():
    low = a_weighted_esr(sine(1000) + 0.1 * sine(100), sine(1000), RATE, floor=1e-12)
    same = a_weighted_esr(1.1 * sine(1000), sine(1000), RATE, floor=1e-12)
    assert float(same) == pytest.approx(0.01, rel=1e-3)
    assert 10 * math.log10(float(low / same)) == pytest.approx(-19.1, abs=0.5)


def test_a_weighted_power_is_that_of_the_weighted_sine():
    floor = 0.5  # a sine's own mean square: the ratio is then half of what it is without a floor
    halved = a_weighted_esr(1.1 * sine(1000), sine(1000), RATE, floor)
    assert float(halved) == pytest.approx(0.005, rel=1e-2)


def reference_mrstft(prediction: Tensor, target: Tensor) -> float:
    """Yamamoto et al. 2020, written out over (samples,) at auraloss's default resolutions."""
    total = 0.0
    for size, hop, length in ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240)):
        p, y = (
            torch.stft(x, size, hop, length, torch.hann_window(length), return_complex=True).abs().clamp_min(1e-4)
            for x in (prediction, target)
        )
        total += float((y - p).norm() / y.norm()) + float((y.log() - p.log()).abs().mean())
    return total / 3


def test_mrstft_is_the_papers_definition():
    target = noise(1, 1, 8000)
    prediction = target + 0.1 * noise(1, 1, 8000, seed=1)
    expected = reference_mrstft(prediction[0, 0], target[0, 0])
    assert float(mrstft(prediction, target)) == pytest.approx(expected, rel=1e-5)


def test_mrstft_of_a_gain_is_the_gain():
    """Spectral convergence of 2x is 1, its log magnitudes are off by ln 2."""
    target = noise(2, 1, 5000)
    assert float(mrstft(2 * target, target)) == pytest.approx(1 + math.log(2), rel=1e-4)


@pytest.mark.parametrize(
    ("samples", "sizes"),
    [(9999, [512, 1024, 2048]), (2048, [512, 1024, 2048]), (1500, [512, 1024]), (511, [256]), (64, [64])],
)
def test_mrstft_takes_the_resolutions_that_fit(samples, sizes):
    assert [size for size, *_ in fitting_resolutions(samples)] == sizes
    target = noise(2, 1, samples)
    assert float(mrstft(2 * target, target)) == pytest.approx(1 + math.log(2), rel=1e-3)


def test_mrstft_refuses_segments_shorter_than_64_samples():
    with pytest.raises(ValueError, match="got segments of 63 samples; it needs at least 64"):
        mrstft(torch.zeros(1, 1, 63), torch.zeros(1, 1, 63))


@pytest.mark.parametrize("samples", [64, 256, 4410])
def test_log_mel_of_a_gain_is_its_logarithm(samples):
    target = 10 * noise(2, 1, samples)
    assert float(LogMel(RATE, floor=1e-9)(2 * target, target)) == pytest.approx(math.log(2), rel=1e-4)


def test_log_mel_of_a_higher_note_is_large():
    assert LogMel(RATE)(sine(2000), sine(500)) > 4 * LogMel(RATE)(sine(501), sine(500))


def test_a_weighted_sum_is_one():
    terms = {"a": {"weight": 2.0, "loss": ESR()}, "b": {"weight": 0.5, "loss": DC()}, "c": {"weight": 0, "loss": None}}
    p, y = noise(2, 1, 64), noise(2, 1, 64, seed=1)
    assert float(evaluate_loss(WeightedSum(terms), p, y, torch.tensor(9.0))) == pytest.approx(
        float(2 * esr(p, y) + 0.5 * dc(p, y))
    )


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("samples", [64, 256, 3000])
def test_every_loss_is_zero_for_the_truth_and_its_gradient_finite_at_silence(name, samples):
    loss = EVERY[name]
    music = 0.3 * noise(2, 1, samples)
    assert float(loss(music, music)) == 0
    for target in (torch.zeros_like(music), music):
        for prediction in (torch.zeros_like(music), music):
            prediction = prediction.clone().requires_grad_()
            value = loss(prediction, target)
            value.backward()
            assert torch.isfinite(value) and torch.isfinite(prediction.grad).all()


@pytest.mark.parametrize("name", EVERY)
def test_every_loss_falls_along_its_gradient(name):
    target = 0.3 * noise(2, 1, 256)
    prediction = (target + 0.05 * noise(2, 1, 256, seed=1) + 0.02).requires_grad_()
    before = EVERY[name](prediction, target)
    (gradient,) = torch.autograd.grad(before, prediction)
    after = EVERY[name](prediction - 1e-3 * gradient / gradient.norm(), target)
    assert after < before


@pytest.mark.parametrize(
    "build",
    [
        lambda: MuLawMSE(0.5),
        lambda: MuLawMSE(float("nan")),
        lambda: ESR(0.0),
        lambda: DC(-1.0),
        lambda: PreemphasisESR(1.0),
        lambda: PreemphasisESR(0.5, floor=0.0),
        lambda: AWeightedESR(100),
        lambda: LogMel(100),
        lambda: LogMel(RATE, fft=32),
        lambda: LogMel(RATE, fft=256, mels=100),
        lambda: WeightedSum({"a": {"weight": float("inf"), "loss": ESR()}}),
        lambda: WeightedSum({"a": {"weight": 0.0, "loss": ESR()}}),
    ],
)
def test_arguments_out_of_range_are_refused(build):
    with pytest.raises(ValueError, match=r"got .*(must be|of which)|must be above 0"):
        build()
