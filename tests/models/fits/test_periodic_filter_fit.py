"""The closed-form fit of a filter that repeats, where the songs do not reach all of its period."""

import torch

from fxemu.models.fits.periodic_filter import fit_table


def test_songs_shorter_than_a_period_leave_bins_empty():
    dry = torch.randn(2000, generator=torch.Generator().manual_seed(0))
    table, _ = fit_table([(dry, 0.5 * dry)], rate=1e-4, taps=4)
    reached = table.abs().sum(1) > 0
    assert 0 < int(reached.sum()) < len(table)
    assert torch.allclose(table[reached][:, -1], torch.tensor(0.5, dtype=torch.float64), atol=1e-2)
