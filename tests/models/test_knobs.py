"""Knobs: ranges, tapers and positions; and a model with knobs as two files."""

import json

import pytest
import torch
from helpers.models import make
from safetensors.torch import load_file, save_file

from fxemu.engine.plan import PERIOD
from fxemu.models.closed_loop import ClosedLoop
from fxemu.models.files import DESCRIPTION, WEIGHTS, WeightsError, from_folder, parse, save
from fxemu.models.knobs import SMOOTHING_S, Knob, KnobError, positions, smoothed, values
from fxemu.representations import Raw

DRIVE, TONE = Knob("drive_db", 0.0, 40.0, 10.0), Knob("lowpass_hz", 500.0, 8000.0, 2000.0)
CONFIG = {
    "data": {"sample_rate": 44_100},
    "model": {"_target_": "fxemu.models.GRU", "width": 5, "memory_samples": 40},
    "repr": {side: {"_target_": "fxemu.representations.Raw"} for side in ("input", "output")},
}


def test_decibels_turn_evenly_and_hertz_by_ratio():
    assert [DRIVE.position(x) for x in (0, 20, 40)] == [-1, 0, 1]
    assert TONE.position(2000.0) == pytest.approx(0.0)
    for knob in (DRIVE, TONE):
        for position in (-1.0, -0.3, 0.6, 1.0):
            assert knob.position(knob.value(position)) == pytest.approx(position)
    assert (DRIVE.unit, TONE.unit, Knob("mix", 0, 1, 0).unit) == ("dB", "Hz", "")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("drive_db", 5.0, 5.0, 5.0), "below the highest"),
        (("drive_db", 5.0, 0.0, 1.0), "below the highest"),
        (("drive_db", 0.0, 40.0, 50.0), "must be from 0 to 40 dB"),
        (("cut_hz", 0.0, 40.0, 5.0), "above 0 Hz"),
        (("drive_db", float("nan"), 40.0, 5.0), "finite"),
        (("two words", 0.0, 40.0, 5.0), "the name"),
    ],
)
def test_a_range_that_is_none_is_refused(arguments: tuple, why: str):
    with pytest.raises(KnobError, match=why):
        Knob(*arguments)


def test_settings_by_name():
    at = positions((DRIVE, TONE), {"lowpass_hz": 500.0})
    assert at.tolist() == [-0.5, -1.0]
    assert values((DRIVE, TONE), at) == {"drive_db": 10.0, "lowpass_hz": 500.0}
    for wrong, why in (({"gain": 3.0}, "has drive_db, lowpass_hz"), ({"drive_db": 41.0}, "must be from 0 to 40 dB")):
        with pytest.raises(KnobError, match=why):
            positions((DRIVE, TONE), wrong)


def test_a_jump_is_smoothed_by_one_pole_wherever_it_is_cut():
    rate, before = 8000, torch.tensor([-1.0, 0.5])
    aimed = torch.tensor([[1.0], [0.5]]).expand(2, 800)
    whole = smoothed(aimed, before, rate)
    constant = round(SMOOTHING_S * rate / PERIOD)
    assert whole[0, constant - 1] == pytest.approx(1 - 2 / 2.71828, abs=1e-3) and torch.allclose(whole[1], aimed[1])
    first = smoothed(aimed[:, :300], before, rate)
    assert torch.allclose(torch.cat((first, smoothed(aimed[:, 300:], first[:, -1], rate)), 1), whole, atol=1e-6)


@pytest.mark.parametrize("conditioning", ["scales", "inputs"])
def test_a_model_with_knobs_is_saved_and_loaded(tmp_path, conditioning):
    loop = ClosedLoop(make("gru"), Raw(), Raw(), (DRIVE, TONE), conditioning)
    loop.gain.fill_(0.5)
    save(loop, CONFIG, tmp_path)
    loaded, _ = parse(from_folder(tmp_path), "run")
    assert loaded.knobs == (DRIVE, TONE)
    at, dry, wet = torch.tensor([[[0.3], [-0.2]]]), torch.rand(1, 1, 60) - 0.5, torch.rand(1, 1, 60) - 0.5
    assert torch.equal(loaded.teacher_forced(dry, wet, at)[0], loop.teacher_forced(dry, wet, at)[0])
    baked = loop.at(at[0, :, 0]).teacher_forced(dry, wet)[0]
    assert torch.allclose(baked, loop.teacher_forced(dry, wet, at)[0], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "knobs", "conditioning"),
    [("gru", (DRIVE,), "film"), ("gru", (), "inputs"), ("dynamics", (DRIVE,), "inputs")],
)
def test_a_conditioning_that_cannot_be_is_refused(name, knobs, conditioning):
    with pytest.raises(ValueError, match="conditioning"):
        ClosedLoop(make(name), Raw(), Raw(), knobs, conditioning)


HIDDEN = ("turning.hidden.weight", "turning.hidden.bias")


def test_a_model_of_an_earlier_version_plays_on(tmp_path):
    loop, at = ClosedLoop(make("gru"), Raw(), Raw(), (DRIVE, TONE)), torch.tensor([0.3, -0.2])
    save(loop, CONFIG, tmp_path)
    weights = load_file(tmp_path / WEIGHTS)
    weights = {k: x[:, :2].clone() if k.startswith("turning.") else x for k, x in weights.items() if k not in HIDDEN}
    weights = {k: x for k, x in weights.items() if not k.startswith("turning.scales.")}
    save_file(weights, tmp_path / WEIGHTS)
    earlier = parse(from_folder(tmp_path), "run")[0].at(at).predictor
    for name, x in loop.predictor.named_parameters():
        shift = weights.get(f"turning.weights.{name.replace('.', '/')}")
        assert torch.allclose(dict(earlier.named_parameters())[name], x if shift is None else x + shift @ at)


@pytest.mark.parametrize("knobs", [[{"name": "drive_db", "low": 0}], [{"name": "a", "low": 1, "high": 0}], 3, [3] * 9])
def test_a_damaged_description_of_knobs_is_refused(tmp_path, knobs):
    save(ClosedLoop(make("gru"), Raw(), Raw(), (DRIVE, TONE)), CONFIG, tmp_path)
    description = json.loads((tmp_path / DESCRIPTION).read_text())
    (tmp_path / DESCRIPTION).write_text(json.dumps({**description, "knobs": knobs}))
    with pytest.raises(WeightsError, match="broken"):
        parse(from_folder(tmp_path), "run")
