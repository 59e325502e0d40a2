"""What a box is said to be, against what it is, on simulated music."""

import pytest
import torch
from helpers.recordings import RATE, music

from fxemu.effects import Bitcrusher, Compressor, Delay, Gate, Highpass, Lowpass, Tanh, Tremolo, Vibrato
from fxemu.evaluation.diagnosis import box_sentence, diagnose
from fxemu.evaluation.diagnosis.level import explain_by_closing
from fxemu.evaluation.diagnosis.modulation import explain_by_periodic_filter
from fxemu.evaluation.diagnosis.response import response_words, short_filter
from fxemu.library.pair import Pair


@pytest.fixture(scope="module")
def dry():
    fading_db = 25 * torch.linspace(0, 4 * torch.pi, 6 * RATE).cos() - 25
    return music(6, silence_s=0) * 10 ** (fading_db / 20)


@pytest.mark.parametrize(
    ("effect", "kind", "figures"),
    [
        (Lowpass(cutoff_hz=1000), "filter", {}),
        (Delay(delay_ms=200, feedback=0.0), "echo", {"echo_ms": 200}),
        (Tanh(gain=5), "distortion", {}),
        (Tremolo(rate_hz=6), "oscillator", {"rate_hz": 6}),
        (Compressor(threshold_db=-30, ratio=4, knee_db=0), "dynamics", {"threshold_db": -30, "ratio": 4}),
        (Bitcrusher(rate_hz=11_025), "digital", {"rate_hz": 11_025}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_kind_and_its_main_figures(dry, effect, kind, figures):
    found = diagnose(dry, effect(dry, RATE), RATE, seconds=5)
    assert found.kind == kind, found
    for name, value in figures.items():
        assert found.figures[name] == pytest.approx(value, rel=0.25), found


@pytest.mark.parametrize(("effect", "figure", "hz"), [(Lowpass, "high_cut_hz", 1000), (Highpass, "low_cut_hz", 500)])
def test_cuts_are_where_the_response_is_3_db_down(effect, figure, hz):
    dry = music(6, silence_s=0)
    taps = short_filter(dry.double(), effect(cutoff_hz=hz)(dry, RATE).double())
    assert response_words(taps, dry, RATE)[1] == {figure: pytest.approx(hz, rel=0.1)}


def test_a_gate_shows_in_what_is_quiet(dry):
    found = explain_by_closing(dry.double(), Gate(threshold_db=-30, hold_ms=5, release_ms=5)(dry, RATE).double(), RATE)
    assert found.words.startswith("a gate")
    assert found.figures["threshold_db"] == pytest.approx(-30, abs=6)
    assert explain_by_closing(dry.double(), dry.double(), RATE) is None


def test_a_filter_that_repeats_has_its_rate():
    noise = torch.randn(4 * RATE, generator=torch.Generator().manual_seed(0)) / 8
    dry = torch.nn.functional.avg_pool1d(noise[None], 15, 1, 7)[0]
    wet = Vibrato(rate_hz=3, depth_ms=1)(dry, RATE)
    found = explain_by_periodic_filter(dry.double(), wet.double(), RATE, RATE)
    assert found.figures["rate_hz"] == pytest.approx(3, rel=0.02)
    assert found.unexplained < 0.2 and "slower" not in found.words


def test_a_rate_of_two_cycles_in_an_excerpt_may_be_slower():
    dry = torch.randn(4 * RATE, generator=torch.Generator().manual_seed(0)) / 8
    found = explain_by_periodic_filter(dry.double(), Vibrato(rate_hz=0.3)(dry, RATE).double(), RATE, RATE)
    assert "Hz or slower (a phaser" in found.words


def test_a_training_says_what_the_box_is_where_songs_are_long_enough(dry):
    pairs = [Pair("short", dry[:RATE], dry[:RATE]), Pair("long", dry, dry / 2)]
    assert box_sentence(pairs, RATE).startswith("a flat response; nothing else above")
    assert box_sentence(pairs[:1], RATE) is None
