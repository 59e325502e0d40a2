"""Fitting followers: the gain that is seen, its filter, and songs that show none."""

import numpy as np
import pytest
import torch

from fxemu.effects import Compressor, Phaser
from fxemu.errors import FitError
from fxemu.models.fits import dynamics
from fxemu.models.fits.dynamics import fit, observed_gain
from fxemu.models.fits.dynamics_starts import logit


def test_a_rate_is_that_of_a_time_constant() -> None:
    for samples in (0.3, 5.0, 20_000.0):
        assert 1 / (1 + np.exp(-logit(samples))) == pytest.approx(1 - np.exp(-1 / samples), rel=1e-9)


def test_the_gain_of_a_song_and_its_weight() -> None:
    dry = torch.cat((torch.full((882,), 0.1), torch.full((441,), 1e-7)))
    seen = observed_gain(dry, dry * 0.5)
    assert seen.dry[0] == pytest.approx(0.1)
    assert seen.gain[:882] == pytest.approx(20 * np.log10(0.5) / 80, abs=1e-6)
    # A frame like the rest of the song but for a silent third: 1.5 from the song, 1 from the frame.
    assert seen.weight[0] ** 2 == pytest.approx(2.5, rel=1e-2)
    assert not seen.weight[882:].any()


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


def later(dry: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.pad(dry, (1000, -1000))


@pytest.mark.parametrize("effect", [later, Phaser()], ids=["a delay", "a phaser"])
def test_what_a_filter_does_as_well_is_given_up_after_the_tries(effect, monkeypatch) -> None:
    refine, taken = dynamics.refine, []

    def counting(theta, songs, iterations):
        taken.append(iterations)
        return refine(theta, songs, iterations)

    monkeypatch.setattr(dynamics, "refine", counting)
    dry = torch.from_numpy(0.2 * np.random.default_rng(0).standard_normal(16_000)).float()
    with pytest.raises(FitError, match="no gain that follows the level"):
        fit([(dry, effect(dry))], 2)
    assert set(taken) == {dynamics.TRIES}
