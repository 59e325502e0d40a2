"""Oversampled plans against streams of their own on each phase; their filters; the aliases that they take away."""

import numpy as np
import pytest
import torch
from helpers.models import MODELS
from scipy import signal
from torch import Tensor

from fxemu.engine.oversampling import LATENCY, PASSED, STOPPED, STOPPED_DB, low_pass
from fxemu.engine.plan import DRY, WET, Activation, Plan, Term
from fxemu.engine.streaming.stream import render, render_many
from fxemu.evaluation.measurements.aliasing import aliasing_db
from fxemu.models.closed_loop import ClosedLoop
from fxemu.models.oversampled import Oversampled, OversamplingError
from fxemu.representations import MuLaw, Raw
from fxemu.runtimes.foreign import Foreign

SILENCE, RATE = 2000, 44_100


def noise(samples: int) -> Tensor:
    return torch.rand(samples, generator=torch.Generator().manual_seed(0)) - 0.5


def loop(family: str, kind: type = Raw) -> ClosedLoop:
    torch.manual_seed(0)
    encoder, decoder = kind(), kind()
    return ClosedLoop(MODELS[family](encoder.channels, decoder.params), encoder, decoder)


def clipper(gain: float) -> Foreign:
    """clamp(gain x, -1, 1)."""
    plan = Plan()
    plan.params = plan.add(Term(DRY, torch.full((1, 1, 1), gain)), activation=Activation("clamp", 1.0))
    plan.close(WET, plan.last)
    return Foreign(plan, RATE)


@pytest.mark.parametrize(
    ("family", "factor"),
    [("mlp", 2), ("mlp", 8), ("gru", 2), ("gru", 4), ("lstm", 4), ("wavenet", 2), ("dynamics", 2), ("lru", 4)],
)
def test_each_copy_is_a_stream_on_a_phase_of_the_upsampled_signal(family, factor):
    given = loop(family)
    dry = torch.cat((torch.zeros(SILENCE), noise(400)))
    taps = low_pass(factor).double().numpy()
    upsampled = signal.upfirdn(factor * taps, dry.numpy(), up=factor)
    phases = torch.from_numpy(upsampled.reshape(-1)[: factor * dry.numel()].reshape(-1, factor).T.copy()).float()
    wet = np.stack([render(given, phase.contiguous()).numpy() for phase in phases], axis=1).reshape(-1)
    expected = signal.upfirdn(taps, wet, down=factor)[: dry.numel()]
    result = render(Oversampled(given, factor), dry).numpy()
    assert wet[-400:].std() > 1e-3
    assert np.abs(result - expected)[SILENCE:].max() < 1e-5


def test_codes_are_oversampled_too():
    dry = noise(300)
    assert torch.isfinite(render(Oversampled(loop("mlp", MuLaw), 2), dry)).all()


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_the_filters_are_as_flat_and_as_steep_as_is_said(factor):
    frequency, response = signal.freqz(low_pass(factor).double().numpy(), worN=1 << 15)
    frequency, level_db = frequency * factor / np.pi, 20 * np.log10(np.abs(response) + 1e-12)
    assert np.abs(level_db[frequency <= PASSED]).max() < 0.001
    assert level_db[frequency >= STOPPED].max() < -STOPPED_DB + 0.5


def test_what_is_linear_is_only_late():
    dry = 0.5 * torch.sin(2 * torch.pi * 997 / RATE * torch.arange(3000))
    wet = render(Oversampled(clipper(1.0), 4), torch.cat((dry, torch.zeros(LATENCY))))[LATENCY:]
    assert (wet - dry)[100:-100].abs().max() < 1e-4


def test_aliases_go():
    aliased = [
        aliasing_db(lambda tones, given=given: render_many(given, tones), [4186.0], RATE)
        for given in (clipper(8.0), Oversampled(clipper(8.0), 2), Oversampled(clipper(8.0), 4))
    ]
    # The harmonics of a clipped sine fall by 12 dB an octave: so much is left to be folded.
    assert aliased[0] > -25 and (-np.diff(aliased) > 11).all()


@pytest.mark.parametrize("factor", [0, 1, 3, 16])
def test_other_factors_are_refused(factor):
    with pytest.raises(OversamplingError, match=f"oversampling: got {factor}; must be 1"):
        Oversampled(clipper(1.0), factor)


@pytest.mark.parametrize("family", ["oscillator", "periodic_filter"])
def test_an_oscillator_is_refused(family):
    with pytest.raises(OversamplingError, match="this model has an oscillator"):
        Oversampled(loop(family), 2)
