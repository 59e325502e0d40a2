"""Knobs that a config asks for: on any effect, or refused in a line."""

import sys

import pytest
import torch
from hydra import compose, initialize_config_dir

from fxemu.effects import Distortion
from fxemu.errors import ConfigError
from fxemu.training.parts import build_parts
from fxemu.training.run_folder import CONF

RATE = 8000
DRY = torch.rand(2000, generator=torch.Generator().manual_seed(0)) - 0.5


def parts(*words: str):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return build_parts(compose("train", ["model=gru", "model.width=4", *words]))


def test_the_shelf_s_effects_turn_by_their_options():
    made = parts("effect=distortion", "knobs={drive_db: [0, 40], lowpass_hz: [500, 3000]}")
    drive, tone = made.effect.knobs
    assert (drive.default, tone.default) == (25.0, pytest.approx(1224.7, abs=0.1)), "5000 Hz is out of the range"
    assert made.loop.knobs == made.effect.knobs
    wet = made.effect.at(torch.tensor([-1.0, 1.0]))(DRY, RATE)
    assert torch.equal(wet, Distortion(drive_db=0.0, lowpass_hz=3000.0)(DRY, RATE))
    assert torch.equal(made.effect(DRY, RATE), Distortion(drive_db=25.0, lowpass_hz=tone.default)(DRY, RATE))


def test_knobs_may_be_inputs_of_the_first_layer():
    made = parts("effect=tanh", "knobs={gain: [1, 9]}", "conditioning=inputs")
    assert [x.shape for x in made.loop.turning.parameters()] == [(12, 1)]
    with pytest.raises(ConfigError, match="must be scales or inputs"):
        parts("effect=tanh", "knobs={gain: [1, 9]}", "conditioning=film")


@pytest.mark.parametrize(
    ("knobs", "why"),
    [
        ("{gain: [0, 1]}", "knobs.gain: the effect has no such option with a range; it has: drive_db, "),
        ("{clip: [0, 1]}", "knobs.clip: the effect has no such option"),
        ("{drive_db: [0, 90]}", "drive_db: got 90"),
        ("{drive_db: [5, 5]}", "the lowest value must be below the highest"),
        ("{drive_db: 5}", "must be the lowest and the highest value"),
        ("{lowpass_hz: [0, 500]}", "must be above 0 Hz"),
    ],
)
def test_a_knob_that_cannot_be_is_refused(knobs: str, why: str):
    with pytest.raises(ConfigError) as refused:
        parts("effect=distortion", f"knobs={knobs}")
    assert why in str(refused.value) and "\n" not in str(refused.value)


def test_a_function_takes_its_knobs_by_keyword(tmp_path, monkeypatch):
    (tmp_path / "boxes_with_knobs.py").write_text("def louder(dry, volume):\n    return dry * volume\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    made = parts("effect=python", "effect.function=boxes_with_knobs.louder", "knobs={volume: [0, 1]}")
    assert torch.equal(made.effect.at(torch.tensor([0.0]))(DRY, RATE), DRY * 0.5)


def test_a_command_takes_its_knobs_by_name():
    code = "import shutil, sys; assert float(sys.argv[3]) == 7.5; shutil.copy(sys.argv[1], sys.argv[2])"
    command = f"effect.command=[{sys.executable},-c,'{code}','{{dry}}','{{wet}}','{{drive}}']"
    made = parts("effect=command", command, "knobs={drive: [5, 10]}")
    assert torch.equal(made.effect(DRY, RATE), DRY)
    with pytest.raises(ConfigError, match="is nowhere in the command"):
        parts("effect=command", command, "knobs={tone: [5, 10]}")
