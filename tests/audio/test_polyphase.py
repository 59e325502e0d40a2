"""The players' resampler: its passband, stopband and delay at any pair of rates, however the input is cut."""

import numpy as np
import pytest

from fxemu.audio.polyphase import Polyphase, round_trip, sinc_table

PAIRS = [(48_000, 44_100), (44_100, 96_000), (192_000, 22_050), (47_999, 44_100)]


def sine(hz: float, rate: int, samples: int) -> np.ndarray:
    return np.sin(2 * np.pi * hz / rate * np.arange(samples)).astype(np.float32)


@pytest.mark.parametrize("pair", PAIRS, ids=str)
@pytest.mark.parametrize("part", [0.01, 0.5, 0.91])
def test_what_it_passes_is_the_same_signal_at_the_other_rate(pair, part):
    hz = part * min(pair) / 2
    made = Polyphase(*pair).process(sine(hz, pair[0], pair[0] // 10))
    # A gain error of 0.001 dB is 1.15e-4; here the delay is seen to be none, too.
    assert np.abs(made - sine(hz, pair[1], made.size))[700:].max() < 1.15e-4


@pytest.mark.parametrize("pair", [(96_000, 44_100), (192_000, 22_050)], ids=str)
def test_what_it_stops_is_90_db_down(pair):
    made = Polyphase(*pair).process(sine(1.09 * pair[1] / 2, pair[0], pair[0] // 10))
    assert np.abs(made[700:]).max() < 10 ** (-90 / 20)


@pytest.mark.parametrize("pair", [*PAIRS, (44_100, 44_100)], ids=str)
def test_the_output_does_not_depend_on_how_the_input_is_cut(pair):
    x = np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    one, other = Polyphase(*pair, 64), Polyphase(*pair, 64)
    parts = [one.process(part) for part in np.split(x, [1, 2, 3, 700, 701, 4000])]
    assert np.array_equal(np.concatenate(parts), other.process(x))


@pytest.mark.parametrize("latency", [0, 64])
@pytest.mark.parametrize("pair", [*PAIRS, (44_100, 44_100)], ids=str)
def test_a_round_trip_is_as_late_as_it_says_and_no_later(pair, latency):
    """After k samples k - late are back, at the latest: at some k not one more."""
    there, back = Polyphase(*pair), Polyphase(*pair[::-1], latency)
    made = np.cumsum([back.process(there.process(np.zeros(1, np.float32))).size for _ in range(2500)])
    ahead = made - (np.arange(1, 2501) - round_trip(*pair, latency))
    assert ahead.min() == 0 and ahead[1200:].max() <= 1 + pair[0] / pair[1]


def test_a_constant_stays_what_it_is_at_every_fraction_of_a_sample():
    assert np.abs(sinc_table(48_000, 44_100).sum(axis=1) - 1).max() < 1e-12
