"""Drawn gains: within their range, before the effect, repeatable, and song by song in turns."""

import pytest
import torch

import fxemu.data.gains
from fxemu.audio.tensors import amplify
from fxemu.data.gains import DrawnGains
from fxemu.effects import Tanh
from fxemu.library.pair import Pair

EFFECT = Tanh(gain=20)


def drawn(count: int = 3, gain_db: tuple[float, float] = (-40.0, 0.0), seed: int = 0) -> DrawnGains:
    noise = torch.rand(count, 800, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return DrawnGains([Pair("song", dry, EFFECT(dry)) for dry in noise], EFFECT, 8000, gain_db, seed)


def test_minus_twenty_decibels_is_a_tenth():
    assert torch.allclose(amplify(torch.ones(3), -20), torch.full((3,), 0.1))


def test_the_effect_comes_after_the_gain():
    gains = drawn()
    for song, (full, pair) in enumerate(zip(gains.full, gains.pairs_for_epoch(3), strict=True)):
        assert torch.equal(pair.dry, amplify(full.dry, gains.drawn_db(song, 3)))
        assert torch.equal(pair.wet, torch.tanh(20 * pair.dry))
        assert not torch.allclose(pair.wet, amplify(full.wet, gains.drawn_db(song, 3)), atol=1e-3)


def test_gains_fill_their_range_evenly_in_decibels():
    gains = drawn()
    values = torch.tensor([gains.drawn_db(song, epoch) for song in range(3) for epoch in range(300)])
    assert -40 <= values.min() < -39 and -1 < values.max() <= 0
    assert float(values.mean()) == pytest.approx(-20, abs=1.5)
    assert len(values.unique()) == 900


def test_gains_repeat_by_seed_wherever_a_run_goes_on():
    whole, resumed, other = drawn(), drawn(), drawn(seed=1)
    for epoch in range(4):
        expected = whole.pairs_for_epoch(epoch)
    for first, second in zip(expected, resumed.pairs_for_epoch(3), strict=True):
        assert torch.equal(first.dry, second.dry) and torch.equal(first.wet, second.wet)
    assert whole.drawn_db(0, 3) != other.drawn_db(0, 3)


def test_a_large_library_takes_turns(monkeypatch):
    monkeypatch.setattr(fxemu.data.gains, "SECONDS_PER_EPOCH", 0.2)  # two of the six songs
    gains = drawn(6)
    table = torch.tensor(
        [[gains.drawn_db(song, epoch) for song in range(6)] for epoch in range(7)], dtype=torch.float64
    )
    assert ((table[1:] != table[:-1]).sum(1) == 2).all()
    assert (table[3] != table[0]).all()


def test_no_range_means_no_work():
    gains = drawn(gain_db=(0.0, 0.0))
    assert all(song is full for song, full in zip(gains.pairs_for_epoch(5), gains.full, strict=True))


@pytest.mark.parametrize("bad", [(0, -10), (-90, 0), (-10, 6), (float("nan"), 0), (-10,), -10, "loud"])
def test_a_range_that_is_none_is_refused(bad):
    with pytest.raises(ValueError, match=r"data.gain_db: got .* must be the lowest and the highest gain"):
        drawn(gain_db=bad)
