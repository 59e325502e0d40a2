"""Steps of the fit of followers: the gradient against finite differences, errors that fall, loops that run away."""

import numpy as np
import pytest
import torch

from fxemu.effects import Compressor
from fxemu.models.fits.conditioned_dynamics import MOVED
from fxemu.models.fits.dynamics import observed_gain
from fxemu.models.fits.dynamics_chain import KEY, LOOP, SLOW, SLOW_RATES, gain_in_units
from fxemu.models.fits.dynamics_starts import logit, start
from fxemu.models.fits.dynamics_steps import Gain, _normal_equations, refine


@pytest.mark.parametrize(("key", "slow"), [((0.0, 0.0), 0.0), ((-0.7, 0.3), 0.0), ((0.0, 0.0), 0.4)])
@pytest.mark.parametrize(
    ("loop", "features", "envelope"), [(0.0, 0, None), (-0.7, 0, (15.0, 200.0)), (-0.3, 2, (3.0, 90.0))]
)
def test_the_gradient_is_that_of_finite_differences(
    loop: float, features: int, envelope: tuple[float, float] | None, key: tuple[float, float], slow: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    dry = (torch.rand(1500, generator=generator) - 0.5) * torch.linspace(0.1, 2, 1500)
    song = observed_gain(dry, Compressor()(dry, 44_100), np.array([0.7, -0.4][:features]))
    moves = 0.2 * torch.randn(MOVED * features, generator=generator, dtype=torch.float64).numpy()
    theta = np.concatenate((start(3, (20.0, 300.0), 40.0, loop, envelope=envelope), moves))
    theta[KEY], theta[SLOW], theta[SLOW_RATES] = key, slow, [logit(100.0), logit(400.0)]
    error, normal, slope = _normal_equations(theta, [song])
    assert error > 0
    assert np.allclose(normal, normal.T) and np.linalg.eigvalsh(normal).min() > -1e-9
    # A slow part without a weight is left out.
    for p in (p for p in range(theta.size) if p != SLOW or slow):
        step = np.zeros_like(theta)
        step[p] = 1e-5
        errors = [_normal_equations(theta + sign * step, [song])[0] for sign in (1, -1)]
        assert (errors[0] - errors[1]) / 4e-5 == pytest.approx(slope[p], rel=1e-3, abs=1e-5 * np.abs(slope).max())


def test_refining_never_makes_it_worse() -> None:
    dry = torch.sin(torch.arange(3000) * 0.1) * torch.linspace(0, 1, 3000)
    song = observed_gain(dry, Compressor()(dry, 44_100))
    theta = start(4, hold=(0.2, 4000.0), smoothing=150.0)
    errors = [refine(theta, [song], iterations)[0] for iterations in (0, 4, 30)]
    assert errors[0] > errors[1] > 2 * errors[2]


def test_a_loop_that_runs_away_ends_at_the_clamp_as_in_the_model() -> None:
    """A reduction that asks for ever more of itself comes to twice 80 dB, and no step is taken by what is beyond."""
    unstable = start(4, hold=(0.2, 0.2), smoothing=0.2, loop=30.0)
    unstable[-5:-1] = 1.0
    gain = gain_in_units(np.ones(20_000), unstable)
    assert gain[-1] == pytest.approx(-2.0, abs=1e-6) and np.isfinite(gain).all()
    ones = np.ones(20_000)
    error, theta = refine(unstable, [Gain(ones, 0 * ones, ones)], 20)
    assert error < 0.1 * refine(unstable, [Gain(ones, 0 * ones, ones)], 0)[0]
    assert theta[LOOP] <= 0


def test_what_is_fitted_does_not_ask_for_more_of_itself() -> None:
    """Such a loop may be near to songs that were seen, and run away on others."""
    generator = torch.Generator().manual_seed(0)
    amplitude = torch.rand(6000, generator=generator).double().numpy() * np.linspace(0, 1, 6000)
    towards, begun = (start(3, hold=(0.2, 300.0), smoothing=40.0, loop=loop) for loop in (0.4, -0.1))
    towards[-4:-1] = begun[-4:-1] = 0.3
    seen = Gain(amplitude, gain_in_units(amplitude, towards), np.ones(6000))
    error, theta = refine(begun, [seen], 60)
    assert theta[LOOP] <= 0
    assert error < 1e-4 * refine(begun, [seen], 0)[0]
