"""Baselines recover what they can represent."""

import pytest
import torch

from fxemu.evaluation import baselines, metrics


@pytest.fixture
def dry() -> torch.Tensor:
    return torch.randn(20_000, generator=torch.Generator().manual_seed(0)) * 0.2


def test_copy_last_is_a_delay_of_one_sample(dry):
    wet = dry * 2
    predicted = baselines.copy_last(dry, wet)
    assert torch.equal(predicted[1:], wet[:-1])
    assert predicted[0] == 0


def test_copy_last_of_a_sine_has_its_closed_form():
    w = 0.03
    wet = torch.sin(w * torch.arange(100_000, dtype=torch.float64))
    expected = 2 - 2 * float(torch.cos(torch.tensor(w, dtype=torch.float64)))
    assert metrics.esr(baselines.copy_last(wet, wet), wet) == pytest.approx(expected, rel=1e-2)


def test_best_gain_finds_a_gain(dry):
    assert torch.allclose(baselines.best_gain([(dry, 0.37 * dry)])(dry, dry), 0.37 * dry, atol=1e-6)


def test_best_fir_finds_a_filter(dry):
    taps = torch.tensor([0.5, -0.3, 0.0, 0.2])
    padded = torch.nn.functional.pad(dry, (3, 0))
    wet = torch.nn.functional.conv1d(padded[None, None], taps.flip(0)[None, None])[0, 0]
    fir = baselines.best_fir([(dry, wet)], taps=16)
    assert metrics.esr(fir(dry, wet), wet) < 1e-6


@pytest.mark.parametrize(
    ("esr", "errors", "named"),
    [
        (0.2, {"copy_last": 1e-4, "gain": 0.3, "fir": 0.21}, None),
        (0.2, {"copy_last": 1e-4, "gain": 0.19, "fir": 0.1}, "short filter"),
        (0.2, {"gain": 0.1, "fir": 0.3}, "volume knob"),
        (9e-7, {"gain": 0.1, "fir": 1e-13}, None),
        (float("nan"), {"gain": 0.1}, "volume knob"),
        (0.2, {}, None),
    ],
)
def test_a_model_that_a_trivial_predictor_outdoes_is_told(esr, errors, named):
    warning = baselines.outdone(esr, errors)
    assert (warning is None) if named is None else named in warning
