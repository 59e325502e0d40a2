"""Stretches of songs that a filter that repeats is fitted to."""

import torch

from fxemu.models.fits.periodic_filter import fit_table
from fxemu.models.fits.stretches import LENGTH, Stretch, spread, whole_songs

TAPS, PERIOD = 5, 1000.5


def songs(seconds: float = 400_000) -> list[Stretch]:
    generator = torch.Generator().manual_seed(0)
    dry = [torch.randn(int(samples), generator=generator) for samples in (seconds, seconds / 2)]
    return whole_songs([(x, 0.5 * x) for x in dry], TAPS)


def test_stretches_hold_what_the_song_has_there_and_the_samples_before() -> None:
    whole = songs()
    stretches = spread(whole, 200_000, PERIOD)
    assert len(stretches) == 6 and {s.wet.numel() for s in stretches} == {round(33 * PERIOD + 0.5)}
    for number, stretch in enumerate(stretches):
        song = whole[0] if number < 4 else whole[1]
        end = stretch.start + stretch.wet.numel()
        assert torch.equal(stretch.wet, song.wet[stretch.start : end])
        assert torch.equal(stretch.dry, song.dry[stretch.start : end + TAPS])


def test_they_are_spread_from_beginning_to_end() -> None:
    whole = songs()
    starts = [s.start for s in spread(whole, 200_000, PERIOD)]
    assert starts[0] == 0 and starts[4] == 0
    assert starts[3] == whole[0].wet.numel() - round(33 * PERIOD + 0.5)


def test_songs_that_have_no_more_stay_whole() -> None:
    whole = songs()
    assert spread(whole, 10**9, PERIOD) == whole
    short = songs(LENGTH / 2)
    assert spread(short, 100, PERIOD) == short


def test_a_table_of_some_stretches_is_that_of_the_songs() -> None:
    phase = 2 * torch.pi / PERIOD
    generator = torch.Generator().manual_seed(1)
    dry = torch.randn(1_000_000, generator=generator)
    turning = torch.cos(phase * torch.arange(dry.numel(), dtype=torch.float64))
    whole = whole_songs([(dry, (1 + 0.5 * turning) * dry)], TAPS)
    few = spread(whole, 200_000, PERIOD)
    assert sum(s.wet.numel() for s in few) < 250_000
    whole_table, some_table = (fit_table(x, phase, TAPS, 16)[0] for x in (whole, few))
    assert float(whole_table[:, -1].max() - whole_table[:, -1].min()) > 0.9
    assert torch.allclose(whole_table, some_table, atol=5e-3)
