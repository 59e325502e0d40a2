"""The closed-form fit of a filter that repeats: where the songs do not say how it moves, it is the fixed one."""

import torch

from fxemu.models.fits.periodic_filter import fit_table
from fxemu.models.fits.stretches import whole_songs


def test_where_songs_do_not_reach_the_taps_are_those_of_the_fixed_filter() -> None:
    dry = torch.randn(2000, generator=torch.Generator().manual_seed(0))
    table, _ = fit_table(whole_songs([(dry, 0.5 * dry)], 4), rate=1e-4, taps=4)
    expected = torch.tensor([0, 0, 0, 0.5], dtype=torch.float64).expand(len(table), 4)
    assert torch.allclose(table, expected, atol=1e-6)


def test_lags_that_dry_does_not_tell_apart_do_not_move() -> None:
    noise = torch.randn(200_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    # What is left above a tenth of the band is 100 dB down, as in many recordings.
    dry = torch.fft.irfft(torch.fft.rfft(noise) * (torch.arange(100_001) < 10_000), 200_000) + 1e-5 * noise.flip(0)
    wet = 0.5 * dry + 1e-3 * torch.randn(200_000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    table, _ = fit_table(whole_songs([(dry, wet)], 16), rate=1e-3, taps=16)
    assert float((table - table.mean(0)).square().sum(1).mean()) < 1e-2
