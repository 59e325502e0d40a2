"""Fitting followers: the gradient against finite differences, the gain that is seen, and songs that show none."""

import numpy as np
import pytest
import torch

from fxemu.effects import Compressor
from fxemu.models.fits import dynamics
from fxemu.models.fits.conditioned_dynamics import MOVED
from fxemu.models.fits.dynamics import Gain, fit, logit, observed_gain, refine, start


def test_a_rate_is_that_of_a_time_constant() -> None:
    for samples in (0.3, 5.0, 20_000.0):
        assert 1 / (1 + np.exp(-logit(samples))) == pytest.approx(1 - np.exp(-1 / samples), rel=1e-9)


def test_the_gain_of_a_song_and_its_weight() -> None:
    dry = torch.cat((torch.full((882,), 0.1), torch.full((441,), 1e-7)))
    seen = observed_gain(dry, dry * 0.5)
    assert seen.amplitude[0] == pytest.approx(0.1)
    assert seen.gain[:882] == pytest.approx(20 * np.log10(0.5) / 80, abs=1e-6)
    # A frame like the rest of the song but for a silent third: 1.5 from the song, 1 from the frame.
    assert seen.weight[0] ** 2 == pytest.approx(2.5, rel=1e-2)
    assert not seen.weight[882:].any()


@pytest.mark.parametrize(
    ("loop", "features", "envelope"), [(0.0, 0, None), (-0.7, 0, (15.0, 200.0)), (-0.3, 2, (3.0, 90.0))]
)
def test_the_gradient_is_that_of_finite_differences(
    loop: float, features: int, envelope: tuple[float, float] | None
) -> None:
    generator = torch.Generator().manual_seed(0)
    dry = (torch.rand(1500, generator=generator) - 0.5) * torch.linspace(0.1, 2, 1500)
    song = observed_gain(dry, Compressor()(dry, 44_100), np.array([0.7, -0.4][:features]))
    moves = 0.2 * torch.randn(MOVED * features, generator=generator, dtype=torch.float64).numpy()
    theta = np.concatenate((start(3, (20.0, 300.0), 40.0, loop, envelope=envelope), moves))
    error, normal, slope = dynamics._normal_equations(theta, [song])
    assert error > 0
    assert np.allclose(normal, normal.T) and np.linalg.eigvalsh(normal).min() > -1e-9
    for p in range(theta.size):
        step = np.zeros_like(theta)
        step[p] = 1e-5
        errors = [dynamics._normal_equations(theta + sign * step, [song])[0] for sign in (1, -1)]
        assert (errors[0] - errors[1]) / 4e-5 == pytest.approx(slope[p], rel=1e-3, abs=1e-5 * np.abs(slope).max())


def test_refining_never_makes_it_worse() -> None:
    dry = torch.sin(torch.arange(3000) * 0.1) * torch.linspace(0, 1, 3000)
    song = observed_gain(dry, Compressor()(dry, 44_100))
    theta = start(4, hold=(0.2, 4000.0), smoothing=150.0)
    errors = [refine(theta, [song], iterations)[0] for iterations in (0, 4, 30)]
    assert errors[0] > errors[1] > 2 * errors[2]


def test_a_loop_that_runs_away_is_refused_but_not_fatal() -> None:
    """A reduction that asks for ever more of itself has no finite error."""
    ones = np.ones(20_000)
    unstable = start(4, hold=(0.2, 0.2), smoothing=0.2, loop=30.0)
    unstable[-5:-1] = 1.0
    error, theta = refine(unstable, [Gain(ones, 0 * ones, ones)], 5)
    assert error == np.inf and np.array_equal(theta, unstable)


@pytest.mark.parametrize("wet", [torch.zeros(2000), torch.full((2000,), 0.3)], ids=["silence", "nothing like dry"])
def test_songs_that_show_no_gain(wet: torch.Tensor) -> None:
    assert np.isfinite(fit([(torch.zeros(2000), wet)], knees=2, iterations=3).theta).all()


def test_a_filter_that_does_not_help_is_left_out(monkeypatch) -> None:
    dry = torch.sin(torch.arange(3000) * 0.1) * torch.linspace(0, 1, 3000)
    songs = [(dry, Compressor()(dry, 44_100))]
    alone = fit(songs, 4, iterations=4)
    monkeypatch.setattr(dynamics, "fit_filter", lambda songs, taps, *_, **__: torch.full((taps,), 0.1))
    found = fit(songs, 4, taps=8, iterations=4)
    assert found.taps.tolist() == [1, 0, 0, 0, 0, 0, 0, 0]
    assert found.theta == pytest.approx(alone.theta, rel=1e-4, abs=1e-4)
