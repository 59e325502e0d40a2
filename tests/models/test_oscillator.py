"""The oscillator predictor: closed-form fits, and that fed-back samples tell it the phase."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fxemu.effects import RingModulator, Tremolo
from fxemu.engine.streaming.stream import Stream, render
from fxemu.evaluation.metrics import esr
from fxemu.models import Oscillator
from fxemu.models.closed_loop import ClosedLoop
from fxemu.models.fits.oscillator import find_rate, fit_waveform
from fxemu.representations import Raw

RATE = 8000
CASES = {
    "ring modulation": (lambda: RingModulator(500.0), 1, 0.1, 1e-6),
    "tremolo": (lambda: Tremolo(5.0, 1.0), 4, 0.5, 1e-3),
    "square tremolo": (lambda: Tremolo(5.0, 0.8, "square"), 40, 0.5, 0.01),
}
each_case = pytest.mark.parametrize(("effect", "harmonics", "primed_s", "most"), CASES.values(), ids=CASES)


def music(seconds: float, seed: int = 0) -> Tensor:
    """Noise whose loudness wanders, with silences."""
    generator = torch.Generator().manual_seed(seed)
    samples = round(seconds * RATE)
    noise = torch.rand(samples, generator=generator) * 2 - 1
    loudness = torch.sin(torch.arange(samples) / 1111 + seed).clamp_min(0)
    return 0.8 * noise * loudness


def fitted(effect: Callable, harmonics: int, feedback: bool = True) -> ClosedLoop:
    loop = ClosedLoop(Oscillator(harmonics=harmonics, memory_samples=100, feedback=feedback), Raw(), Raw())
    dry = music(8)
    loop.predictor.fit([(dry[:100], dry[:100]), (dry, effect(dry, RATE, 0))])
    return loop


@each_case
@pytest.mark.parametrize("feedback", [True, False])
def test_from_the_start_of_a_song_it_is_in_phase(effect, harmonics, primed_s, most, feedback) -> None:
    effect = effect()
    dry = music(10, seed=1)
    assert esr(render(fitted(effect, harmonics, feedback), dry), effect(dry, RATE, 0)) < most


@each_case
def test_primed_within_a_song_it_finds_the_phase_and_keeps_it(effect, harmonics, primed_s, most) -> None:
    effect = effect()
    dry, start = music(20, seed=1), 12_345
    wet, primed = effect(dry, RATE, start), round(primed_s * RATE)
    errors = {}
    for feedback in (True, False):
        stream = Stream(fitted(effect, harmonics, feedback))
        stream.process(dry[:primed], wet[:primed])
        errors[feedback] = esr(stream.process(dry[primed:]), wet[primed:])
    assert errors[True] < 2 * most
    assert errors[False] > 0.1


def test_the_rate_is_found() -> None:
    dry = music(10).double()
    for hz in (0.9, 7.3, 777.7):
        wet = dry * (0.4 + 0.3 * torch.cos(2 * math.pi * hz / RATE * torch.arange(dry.numel()).double() + 1))
        assert find_rate(dry, wet) * RATE / (2 * math.pi) == pytest.approx(hz, abs=1e-5)


def test_the_waveform_is_found() -> None:
    dry, t = music(10).double(), torch.arange(80_000).double()
    gain = 0.4 + 0.3 * torch.cos(0.01 * t + 1) + 0.1 * torch.cos(0.02 * t - 2)
    mean, phasors = fit_waveform(dry, dry * gain, 0.01, 3)
    assert float(mean) == pytest.approx(0.4, abs=1e-6)
    assert phasors.abs().tolist() == pytest.approx([0.3, 0.1, 0], abs=1e-6)
    assert phasors.angle()[:2].tolist() == pytest.approx([1, -2], abs=1e-5)


def test_a_history_that_is_no_modulation_does_not_throw_it_far() -> None:
    stream = Stream(fitted(Tremolo(5.0, 1.0), 4))
    stream.process(1e-3 * music(1), music(1, seed=2))
    later = stream.process(music(10))[RATE:]
    assert torch.isfinite(later).all()
    assert later.abs().max() < 1.2
