"""The rate at which a filter that repeats does so, from dry and wet samples.

Shapes: T samples, N taps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from scipy.fft import next_fast_len
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional as F

from fxemu.models.fits.fir import filtered, fit_filters

Songs = Sequence[tuple[Tensor, Tensor]]
# Samples over which the filter is taken to stand still when its rate is looked for, and shapes of it that are followed.
FRAME, SHAPES = 512, 16
# Harmonics that the rate is refined with, and places tried around the peak.
FEW, PLACES = 6, 129
# The strongest harmonic of the taps' movement may be any up to this one.
SLOWER = 16


def find_movement_rate(departed: Songs, taps: int, slower: int = SLOWER) -> float:
    """The rate in radians a sample at which the response of wet to dry repeats, good to a part of a cycle in a song.

    What no fixed filter explains (`departures`) is compared with dry frame by frame, both whitened; the strongest peak
    in the spectrum of how this response changes is the rate, refined to where its first harmonics are strongest over
    all songs, or its harmonic, up to the one of number `slower`.
    """
    series = _shapes([_responses(dry, rest, taps) for dry, rest in departed])
    longest = max(len(x) for x in series)
    size = next_fast_len(8 * longest, real=True)
    windowed = [x * torch.hann_window(len(x), dtype=x.dtype)[:, None] for x in series]
    spectrum = sum(torch.fft.rfft(x, size, dim=0).abs().square().sum(1) for x in windowed)
    # Two cycles or more in the longest song: what is slower cannot be told from a trend.
    slowest, width = 2 * size // longest, 2 * math.pi / longest
    peak = 2 * math.pi / size * (slowest + int(spectrum[slowest:].argmax()))
    return _undivided(series, _refined(series, peak, width), slower) / FRAME


def fixed_filter(songs: Songs, taps: int) -> Tensor:
    """The best fixed filter (N,) float64 from dry to wet, (T,) each."""
    return fit_filters([(dry[None], wet) for dry, wet in songs], taps)[0]


def _refined(series: list[Tensor], peak: float, width: float) -> float:
    """The rate, in radians a frame, within `width` around a peak, whose harmonics are strongest."""
    rates = torch.linspace(peak - width / 2, peak + width / 2, PLACES, dtype=torch.float64).tolist()
    best, step = max(rates, key=lambda rate: _strength(series, rate)), width / (PLACES - 1)
    result = minimize_scalar(lambda rate: -_strength(series, rate), bounds=(best - step, best + step), method="bounded")
    return float(result.x)


def _undivided(series: list[Tensor], peak: float, slower: int) -> float:
    """The rate of which a peak is a harmonic: the fastest whose lines hold nearly all that those of slower ones do."""
    # Two widths of a line away, where there is as much that is no line.
    aside = 4 * math.pi / max(len(x) for x in series)

    def standing_out(rate: float, harmonics: int) -> float:
        beside = sum(_strength(series, rate, harmonics, offset) for offset in (aside, -aside)) / 2
        return _strength(series, rate, harmonics) - beside

    strengths = [standing_out(peak / m, FEW * m) for m in range(1, slower + 1)]
    return peak / next(m for m, x in enumerate(strengths, start=1) if x >= 0.9 * max(strengths))


def _strength(series: list[Tensor], rate: float, harmonics: int = FEW, offset: float = 0.0) -> float:
    """Energy at the first harmonics of a rate, all shifted by `offset`, over songs that all begin at phase 0.

    Both in radians a frame.
    """
    angular = torch.arange(1.0, harmonics + 1, dtype=torch.float64) * rate + offset
    times = [torch.arange(len(x), dtype=torch.float64)[:, None] for x in series]
    sums = [sum(f(t * angular).mT @ x for t, x in zip(times, series, strict=True)) for f in (torch.cos, torch.sin)]
    return float(sum(part.square().sum() for part in sums))


def departures(songs: Songs, taps: int) -> list[tuple[Tensor, Tensor]]:
    """The songs in float64, and instead of wet what the best fixed filter leaves of it."""
    fixed = fixed_filter(songs, taps)
    return [(dry.double(), wet.double() - filtered(dry, fixed)) for dry, wet in songs]


def _responses(dry: Tensor, rest: Tensor, taps: int) -> Tensor:
    """Responses of `rest` to dry by frames: (frames, N), oldest lag first, in float32; 0 where dry is silent."""
    size = next_fast_len(dry.numel(), real=True)
    spectra = torch.fft.rfft(torch.stack((dry, rest)), size)
    x, y = torch.fft.irfft(spectra / _smooth(spectra[0].abs()), size)[:, : dry.numel()]
    frames = y[: y.numel() // FRAME * FRAME].view(-1, FRAME)
    seen_dry = F.pad(x, (taps - 1, 0)).unfold(0, FRAME + taps - 1, FRAME)[: len(frames)]
    size = next_fast_len(FRAME + taps - 1, real=True)
    products = torch.fft.irfft(torch.fft.rfft(seen_dry, size) * torch.fft.rfft(frames, size).conj(), size)[:, :taps]
    energy = seen_dry[:, taps - 1 :].square().sum(1, keepdim=True)
    return (products / (energy + 0.1 * energy.mean() + 1e-12)).float()


def _smooth(magnitudes: Tensor, width: int = 501) -> Tensor:
    """A running mean over frequency, with a floor of a thousandth of the largest."""
    sums = F.pad(F.pad(magnitudes[None], (width // 2, width // 2), "reflect")[0].cumsum(0), (1, 0))
    smooth = (sums[width:] - sums[:-width]) / width
    return smooth + 1e-3 * smooth.max() + 1e-12


def _shapes(responses: list[Tensor]) -> list[Tensor]:
    """The strongest shapes in which responses depart from their mean, over frames: (frames, SHAPES) float64 a song."""
    mean = torch.cat(responses).mean(0)
    departures = [x - mean for x in responses]
    covariance = sum(x.mT @ x for x in departures)
    shapes = torch.linalg.eigh(covariance.double()).eigenvectors[:, -SHAPES:].float()
    return [(x @ shapes).double() for x in departures]
