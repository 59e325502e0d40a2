"""Knobs of an emulation: set, and turned while a song plays."""

import numpy as np
import pytest
import torch
from helpers.models import make

from fxemu.audio.tensors import decode, write_wav
from fxemu.cli.render import main as render_main
from fxemu.emulation import Emulation
from fxemu.emulation.turning import Turn, parse_settings
from fxemu.engine.plan import PERIOD
from fxemu.engine.streaming.stream import Stream, render
from fxemu.models.closed_loop import ClosedLoop
from fxemu.models.files import save
from fxemu.models.knobs import Knob, KnobError, smoothed
from fxemu.representations import Raw

RATE = 8000
KNOBS = Knob("drive_db", 0.0, 40.0, 10.0), Knob("lowpass_hz", 500.0, 3000.0, 2000.0)


@pytest.fixture
def loop() -> ClosedLoop:
    return ClosedLoop(make("mlp"), Raw(), Raw(), KNOBS)


def noise(samples: int = 1200) -> torch.Tensor:
    return torch.rand(samples, generator=torch.Generator().manual_seed(0)) - 0.5


def test_knobs_stand_at_their_defaults_or_where_they_are_set(loop):
    emulation, dry = Emulation(loop, RATE), noise()
    assert emulation.knobs == KNOBS
    assert torch.equal(emulation(dry, RATE), render(loop.at(None), dry))
    at = torch.tensor([KNOBS[0].position(30.0), KNOBS[1].position(2000.0)])
    expected = render(loop.at(at), dry)
    assert torch.equal(emulation(dry, RATE, drive_db=30), expected)
    assert torch.equal(emulation.at({"drive_db": 30.0})(dry, RATE), expected)
    assert not torch.allclose(emulation(dry, RATE), expected, atol=1e-3)


def test_a_knob_that_moves_is_smoothed_from_point_to_point(loop):
    emulation, dry = Emulation(loop, RATE), noise()
    wet = emulation(dry, RATE, drive_db=[(0.0, 0.0), (0.1, 40.0)])
    points = torch.arange(0, 1200, PERIOD)
    aimed = torch.stack([(-1 + 2 * points / 800).clamp_max(1), torch.full(points.shape, KNOBS[1].position(2e3))])
    knobs = smoothed(aimed, aimed[:, 0], RATE)
    assert torch.allclose(wet, Stream(loop, knobs=aimed[:, 0]).process(dry, knobs=knobs), atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"gain": 3}, "the model has drive_db"),
        ({"drive_db": 50}, "must be from 0 to 40 dB"),
        ({"drive_db": [(0, 0), (1, 50)]}, "must be from 0 to 40 dB"),
        ({"drive_db": [(1, 0), (1, 5)]}, "that rise"),
        ({"drive_db": "loud"}, "must be a value"),
    ],
)
def test_settings_that_cannot_be_are_refused(loop, settings, why):
    with pytest.raises(KnobError, match=why):
        Emulation(loop, RATE)(noise(), RATE, **settings)


def test_a_model_without_knobs_says_so():
    with pytest.raises(KnobError, match="without knobs"):
        Emulation(ClosedLoop(make("mlp"), Raw(), Raw()), RATE)(noise(), RATE, drive_db=3)


def test_settings_on_the_command_line_and_in_a_table(tmp_path):
    table = tmp_path / "moves.csv"
    table.write_text("seconds,drive_db\n0,10\n5,40\n")
    moves = {"drive_db": [(0.0, 10.0), (5.0, 40.0)]}
    assert parse_settings(["drive_db=0:10,5:40"]) == parse_settings([str(table)]) == moves
    assert parse_settings(["drive_db=30", "lowpass_hz=900"]) == {"drive_db": 30.0, "lowpass_hz": 900.0}
    for wrong in (["drive_db=a"], ["nothing"], ["drive_db=1", "drive_db=2"]):
        with pytest.raises(KnobError):
            parse_settings(wrong)


def test_positions_do_not_depend_on_how_they_are_asked_for():
    settings = {"drive_db": [(0.05, 10.0), (0.1, 40.0)]}
    whole, parts = Turn(KNOBS, settings, RATE)(1000), Turn(KNOBS, settings, RATE)
    assert torch.allclose(torch.cat([parts(n) for n in (3, 0, 500, 497)], dim=1), whole, atol=1e-6)


def test_render_turns_knobs(loop, tmp_path):
    model = {"_target_": "fxemu.models.MLP", "context_window": 32, "feedback_window": 16, "layers": 2, "width": 8}
    raw = {"_target_": "fxemu.representations.Raw"}
    save(loop, {"data": {"sample_rate": RATE}, "model": model, "repr": {"input": raw, "output": raw}}, tmp_path)
    write_wav(tmp_path / "dry.wav", noise(), RATE)
    for name, options in (("still", ["--knob", "drive_db=30"]), ("moved", ["--knob", "drive_db=0:0,0.1:40"])):
        with pytest.raises(SystemExit) as ended:
            render_main([str(tmp_path), str(tmp_path / "dry.wav"), str(tmp_path / f"{name}.wav"), *options])
        assert ended.value.code == 0
    emulation = Emulation(loop, RATE)
    expected = {"still": 30, "moved": [(0, 0), (0.1, 40)]}
    for name, setting in expected.items():
        wet = emulation(noise().numpy(), RATE, drive_db=setting)
        assert np.allclose(decode(tmp_path / f"{name}.wav")[0].numpy(), wet, atol=1e-4)
