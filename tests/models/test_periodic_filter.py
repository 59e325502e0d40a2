"""The periodic filter: closed-form fits of taps that repeat, and that fed-back samples tell it the phase."""

import math

import pytest
import torch
from helpers.models import free_run
from torch import Tensor
from torch.nn import functional as F

from fxemu.engine.streaming.stream import Stream, render
from fxemu.errors import FitError
from fxemu.evaluation.metrics import esr
from fxemu.models import PeriodicFilter
from fxemu.models.closed_loop import ClosedLoop
from fxemu.models.fits.movement_rate import departures, find_movement_rate
from fxemu.models.fits.periodic_filter import BINS, Movement, PeriodicTaps, _normal_equations, _runs, drift
from fxemu.models.fits.stretches import Stretch, whole_songs
from fxemu.representations import Raw

TAPS, RATE = 6, 2 * math.pi / 12_000


def music(samples: int, seed: int = 0) -> Tensor:
    """Noise with less and less treble, whose loudness wanders."""
    noise = torch.rand(samples, generator=torch.Generator().manual_seed(seed)) - 0.5
    loudness = 1.1 + torch.sin(torch.arange(samples) / 1111 + seed)
    return loudness * (noise + F.pad(noise, (1, -1)))


def sweeping(dry: Tensor, start: int = 0) -> Tensor:
    """dry plus itself two and four samples ago, which come and go, the second twice in a turn."""
    phase = RATE * torch.arange(start, start + dry.numel(), dtype=torch.float64)
    early, late = (F.pad(dry, (lag, -lag)).double() for lag in (2, 4))
    return (0.5 * dry + 0.3 * phase.cos() * early + 0.2 * (2 * phase).sin() * late).float()


@pytest.fixture(scope="module")
def songs() -> list[tuple[Tensor, Tensor]]:
    dry = [music(120_000, seed) for seed in (1, 2)]
    return [(x, sweeping(x)) for x in dry]


@pytest.fixture(scope="module")
def weights(songs: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    predictor = PeriodicFilter(context_window=TAPS, rank=3, harmonics=3, memory_samples=20)
    predictor.fit(songs)
    return predictor.state_dict()


def fitted(weights: dict[str, Tensor], feedback: bool = True) -> ClosedLoop:
    predictor = PeriodicFilter(context_window=TAPS, rank=3, harmonics=3, memory_samples=20, feedback=feedback)
    predictor.load_state_dict(weights)
    loop = ClosedLoop(predictor, Raw(), Raw())
    loop.limit.fill_(10.0)
    return loop


def test_the_rate_is_found_though_a_harmonic_may_be_stronger() -> None:
    dry = music(200_000, seed=3)
    phase = RATE * torch.arange(dry.numel(), dtype=torch.float64)
    wet = dry + 0.3 * phase.cos() * F.pad(dry, (2, -2)) + 0.6 * (3 * phase).cos() * F.pad(dry, (4, -4))
    assert find_movement_rate(departures([(dry, wet)], TAPS), TAPS) == pytest.approx(RATE, rel=1e-3)


def test_normal_equations_by_their_ends_are_those_sample_by_sample(songs: list[tuple[Tensor, Tensor]]) -> None:
    (whole,) = whole_songs(songs[:1], TAPS)
    runs = _runs([whole, Stretch(whole.dry[1234 : 1234 + TAPS + 5000], whole.wet[1234:6234], start=1234)], RATE, TAPS)
    windows = F.pad(runs.dry, (TAPS - 1, 0)).unfold(0, TAPS, 1)
    for phase_bin, (matrix, right) in enumerate(_normal_equations(runs, TAPS, BINS)):
        inside = runs.bins == phase_bin
        there = torch.cat([torch.arange(*run) for run in zip(runs.starts[inside], runs.ends[inside], strict=True)])
        assert torch.allclose(matrix, windows[there].mT @ windows[there], atol=1e-9)
        assert torch.allclose(right, windows[there].mT @ runs.wet[there], atol=1e-9)


def test_every_sample_is_in_one_run(songs: list[tuple[Tensor, Tensor]]) -> None:
    runs = _runs(whole_songs(songs, TAPS), RATE, TAPS)
    assert int((runs.ends - runs.starts).sum()) == sum(dry.numel() for dry, _ in songs)
    # Sample 6001 of a song is half a turn on.
    assert runs.bins[(runs.starts <= TAPS + 6001) & (runs.ends > TAPS + 6001)].tolist() == [BINS // 2]


def test_a_rate_that_is_off_is_mended(songs: list[tuple[Tensor, Tensor]]) -> None:
    basis = torch.zeros(3, TAPS, dtype=torch.float64)
    basis[0, -1] = basis[1, -3] = basis[2, -5] = 1.0
    mixing = torch.tensor([[0.5, 0, 0], [0, 0.3, 0], [0, 0, -0.2j]], dtype=torch.complex128)
    off = 1e-4 * RATE
    assert drift(whole_songs(songs, TAPS), Movement(RATE - off, PeriodicTaps(basis, mixing))) == pytest.approx(
        off, rel=0.02
    )


def test_a_known_filter_is_recovered(weights: dict[str, Tensor]) -> None:
    assert float(weights["rate"]) == pytest.approx(RATE, rel=1e-5)
    w = (weights["mixing"] @ weights["basis.weight"][:, 0]).flip(1)
    expected = torch.zeros(7, TAPS)
    # Rows: the mean, three real parts, three imaginary ones; sin is the real part of -i e^(i x).
    expected[0, 0], expected[1, 2], expected[5, 4] = 0.5, 0.3, -0.2
    assert torch.allclose(w, expected, atol=1e-3)


@pytest.mark.parametrize("feedback", [True, False])
def test_from_the_start_of_a_song_it_is_in_phase(weights: dict[str, Tensor], feedback: bool) -> None:
    dry = music(100_000, seed=5)
    assert esr(render(fitted(weights, feedback), dry), sweeping(dry)) < 1e-5


@pytest.mark.parametrize("start", [2_800, 6_000, 40_000])
def test_primed_within_a_song_it_finds_the_phase_and_keeps_it(weights: dict[str, Tensor], start: int) -> None:
    dry, primed = music(150_000, seed=5), 30_000
    wet, errors = sweeping(dry, start), {}
    for feedback in (True, False):
        stream = Stream(fitted(weights, feedback))
        stream.process(dry[:primed], wet[:primed])
        errors[feedback] = esr(stream.process(dry[primed:]), wet[primed:])
    assert errors[True] < 1e-4
    assert errors[False] > 0.1


SECOND = 0.618 * RATE


def two_rotors(dry: Tensor, start: int = 0) -> Tensor:
    """As `sweeping`, and another echo comes and goes at a rate of its own."""
    phase = SECOND * torch.arange(start, start + dry.numel(), dtype=torch.float64)
    return sweeping(dry, start) + (0.3 * phase.sin() * F.pad(dry, (5, -5)).double()).float()


def test_two_rates_are_found_and_their_phases_kept() -> None:
    dry = [music(240_000, seed) for seed in (1, 2)]
    predictor = PeriodicFilter(context_window=TAPS, rank=3, harmonics=3, rates=2, memory_samples=20)
    predictor.fit([(x, two_rotors(x)) for x in dry])
    # A rate a few times slower has the same harmonics.
    slow, fast = sorted(predictor.rate.tolist())
    assert (fast, slow * round(SECOND / slow)) == pytest.approx((RATE, SECOND), rel=1e-4)
    loop = ClosedLoop(predictor, Raw(), Raw())
    loop.limit.fill_(10.0)
    dry, primed, start = music(150_000, seed=5), 60_000, 40_000
    assert esr(render(loop, dry), two_rotors(dry)) < 1e-4
    wet, stream = two_rotors(dry, start), Stream(loop)
    assert esr(render(loop, dry), wet) > 0.2
    stream.process(dry[:primed], wet[:primed])
    assert esr(stream.process(dry[primed:]), wet[primed:]) < 0.03


def test_fewer_rates_than_asked_for_are_refused(songs: list[tuple[Tensor, Tensor]]) -> None:
    noisy = [(dry, wet + 0.01 * music(wet.numel(), seed=9)) for dry, wet in songs]
    with pytest.raises(FitError, match="rates: got 2; dry and wet show 1"):
        PeriodicFilter(context_window=TAPS, rank=3, harmonics=3, rates=2, memory_samples=20).fit(noisy)


def test_where_nothing_moves_there_is_no_fit() -> None:
    dry = torch.randn(120_000, generator=torch.Generator().manual_seed(0))
    with pytest.raises(FitError, match="rates: got 1; dry and wet show 0"):
        PeriodicFilter(context_window=TAPS, rank=3).fit([(dry, torch.tanh(3 * dry + F.pad(dry, (2, -2))))])


@torch.no_grad()
def test_the_compiled_loop_primed_is_the_step_primed(weights: dict[str, Tensor]) -> None:
    loop, dry = fitted(weights), music(700, seed=6)
    wet = sweeping(dry, 3_600)
    stream = Stream(loop, dry[:500], wet[:500])
    expected = free_run(loop, dry[None, None], wet[None, None, :500])[0, 0]
    assert torch.allclose(stream.process(dry[500:]), expected, atol=1e-4)


def test_a_history_that_is_no_modulation_does_not_throw_it_far(weights: dict[str, Tensor]) -> None:
    stream = Stream(fitted(weights))
    stream.process(1e-3 * music(10_000), music(10_000, seed=2))
    later = stream.process(music(50_000))
    assert torch.isfinite(later).all()
    assert later.abs().max() < 5
