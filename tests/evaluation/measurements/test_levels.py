"""Scores by input level, against models whose error at each level is known."""

import math

import pytest
import torch
from torch import nn

import fxemu.evaluation.measurements.levels
from fxemu.effects import Passthrough, Tanh
from fxemu.engine.streaming.stream import render
from fxemu.evaluation.measurements.levels import LEVELS_DB, LISTENED_DB, around_peak, at_levels, drowned
from fxemu.evaluation.metrics import esr
from fxemu.evaluation.plots import ESR_FLOOR, level_curves
from fxemu.library.pair import Pair

RATE = 8000


@pytest.fixture
def noise() -> list[Pair]:
    """Eight songs, each with its peak of 1 at another place."""
    songs = []
    for i in range(8):
        dry = torch.rand(RATE, generator=torch.Generator().manual_seed(i)) - 0.5
        dry[1000 * i] = 1.0
        songs.append(Pair(str(i), dry, Tanh()(dry)))
    return songs


def test_the_loudest_stretch_holds_the_peak_and_stays_in_the_song():
    dry = torch.zeros(100)
    for peak in (0, 50, 99):
        dry[:] = 0
        dry[peak] = -1.0
        stretch = dry[around_peak(dry, 20)]
        assert stretch.numel() == 20 and float(stretch.min()) == -1.0
    assert dry[around_peak(dry, 500)].numel() == 100


def test_a_linear_model_of_tanh_errs_less_the_quieter_it_gets(noise, monkeypatch):
    """5x for tanh(5x): the error is (5x)^3 / 3 where it is small, so ESR falls by 24 dB for each 12 dB."""
    monkeypatch.setattr(
        fxemu.evaluation.measurements.levels, "render_many", lambda loop, songs: [5 * dry for dry in songs]
    )
    scores, sounds = at_levels(nn.Identity(), noise, Tanh(5.0), RATE)
    assert [score.level_db for score in scores] == list(LEVELS_DB)
    esr = torch.tensor([score.esr for score in scores[3:]])
    assert torch.allclose(10 * (esr[:-1] / esr[1:]).log10(), torch.full((2,), 24.0), atol=0.1)
    assert len(sounds) == fxemu.evaluation.measurements.levels.SONGS
    for pair, prediction in sounds:
        assert float(pair.dry.max()) == pytest.approx(10 ** (LISTENED_DB / 20), rel=1e-6)
        assert torch.equal(prediction, 5 * pair.dry) and torch.equal(pair.wet, torch.tanh(5 * pair.dry))


def test_a_compiled_free_run_is_what_is_scored(noise, make_loop):
    loop = make_loop()
    scores, sounds = at_levels(loop, noise[:1], Tanh(), RATE)
    (pair, prediction), (score,) = sounds[0], [score for score in scores if score.level_db == 0]
    assert torch.equal(prediction, render(loop, pair.dry))
    whole = noise[0]
    assert score.esr == pytest.approx(esr(render(loop, whole.dry), whole.wet), rel=1e-5)


@pytest.mark.parametrize(("offset", "level_db"), [(0.0, None), (1e-6, None), (1e-3, -60), (0.1, -12)])
def test_an_offset_drowns_what_is_quieter_and_is_warned_of_where_one_hears_it(noise, monkeypatch, offset, level_db):
    monkeypatch.setattr(
        fxemu.evaluation.measurements.levels, "render_many", lambda loop, songs: [dry + offset for dry in songs]
    )
    scores, _ = at_levels(nn.Identity(), noise, Passthrough(), RATE)
    if offset:
        assert scores[-1].error_dbfs == pytest.approx(20 * math.log10(offset), abs=0.1)
    said = drowned(scores)
    assert said is None if level_db is None else f"peaks at {level_db} dBFS" in said


def test_the_curve_shows_every_level_and_a_perfect_score_too():
    (axes,) = level_curves({"$a": {0: 1e-3, -12: 1e-2}, "b": {0: 0.0}}).axes
    assert axes.get_yscale() == "log"
    assert [line.get_xydata().tolist() for line in axes.lines] == [[[0, 1e-3], [-12, 1e-2]], [[0, ESR_FLOOR]]]
