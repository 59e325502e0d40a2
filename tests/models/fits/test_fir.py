"""The filter in closed form: against one that is known, and as a start of the linear predictor."""

import torch
from torch import Tensor

from fxemu.effects.delay import Delay
from fxemu.engine.streaming.stream import render
from fxemu.evaluation.metrics import esr
from fxemu.models import Linear
from fxemu.models.closed_loop import ClosedLoop
from fxemu.models.fits.fir import filtered, fit_filter, fit_filters
from fxemu.representations import Raw


def coloured(samples: int, seed: int) -> Tensor:
    """Noise with 40 dB less at the top than at the bottom, as music has."""
    noise = torch.randn(samples, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    spectrum = torch.fft.rfft(noise)
    return torch.fft.irfft(spectrum * 10 ** (-2 * torch.linspace(0, 1, spectrum.numel())), samples).float()


def lags(dry: Tensor, count: int) -> Tensor:
    """dry (T,), silence before it, at lags from 0: (T, count) float64."""
    return torch.stack([torch.cat((torch.zeros(k), dry[: len(dry) - k])) for k in range(count)], dim=1).double()


def test_it_finds_the_filter() -> None:
    taps = torch.randn(300, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    songs = [(dry, filtered(dry, taps).float()) for dry in (coloured(5000, 0), coloured(9000, 1))]
    found = fit_filter(songs, 300)
    assert (found - taps).norm() < 1e-3 * taps.norm()


def test_it_is_the_least_squares_solution_where_there_is_no_exact_one() -> None:
    dry = coloured(2000, 0)
    wet = torch.tanh(3 * dry)
    expected = torch.linalg.lstsq(lags(dry, 8), wet.double()).solution
    assert torch.allclose(fit_filter([(dry, wet)], 8), expected, atol=1e-5)


def test_several_filters_are_the_least_squares_solution_over_songs_that_end_anywhere() -> None:
    songs = [(torch.stack((dry, dry.square())), torch.tanh(9 * dry)) for dry in (coloured(700, 0), coloured(901, 1))]
    columns = torch.cat([torch.cat([lags(x, 5) for x in inputs], dim=1) for inputs, _ in songs])
    expected = torch.linalg.lstsq(columns, torch.cat([wet for _, wet in songs]).double()).solution
    assert torch.allclose(fit_filters(songs, 5).flatten(), expected, atol=1e-4)


def test_a_resonance_beneath_a_loud_bass_is_found_by_the_predictor() -> None:
    """The equations that are solved at once have a ridge; the steps from there have less of one."""
    dry = coloured(60_000, 4).cumsum(0)
    dry = 0.3 * (dry - dry.mean()) / dry.std()
    taps = 0.997 ** torch.arange(700) * torch.sin(0.9 * torch.arange(700)).double()
    songs = [(dry, filtered(dry, taps).float())]
    predictor = Linear(1, 1, 800, feedback=False)
    predictor.fit(songs)
    found = predictor.dry.weight.detach()[0, 0].flip(0)
    padded = torch.cat((taps, torch.zeros(100)))
    solved = fit_filters([(dry[None], wet) for dry, wet in songs], 800)[0]
    assert (found - padded).norm() < 0.1 * (solved - padded).norm()


def test_a_long_filter_continues_from_a_short_one() -> None:
    taps = torch.cat((torch.randn(50, generator=torch.Generator().manual_seed(9)), torch.zeros(350)))
    dry = coloured(9000, 1)
    songs = [(dry, filtered(dry, taps).float())]
    begun = fit_filter(songs, 400, iterations=3, start=taps[:50].double())
    assert (begun - taps).norm() < 1e-3 * taps.norm() < (fit_filter(songs, 400, iterations=3) - taps).norm()


def test_a_delay_without_a_gradient_step() -> None:
    effect = Delay(delay_ms=40, feedback=0.3)
    train, test = coloured(40_000, 2), coloured(20_000, 3)
    loop = ClosedLoop(Linear(1, 1, 2500, feedback=False), Raw(), Raw())
    loop.limit.fill_(100)
    loop.predictor.fit([(train, effect(train, 8000, 0))])
    assert esr(render(loop, test), effect(test, 8000, 0)) < 1e-5
