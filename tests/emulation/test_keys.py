"""Knobs turned by the keys of a terminal."""

import os
import pty
import sys
import termios

import numpy as np
import pytest
import torch
from helpers.media import tune
from helpers.models import make
from helpers.sounddevice import interface

from fxemu.cli.live import main
from fxemu.emulation import live
from fxemu.emulation.keys import KEY_STEP, TurnByKeys, has_keys, keys_pressed, turned
from fxemu.engine.plan import PERIOD
from fxemu.engine.streaming.stream import Stream
from fxemu.models.closed_loop import ClosedLoop
from fxemu.models.files import save
from fxemu.models.knobs import Knob, smoothed
from fxemu.representations import Raw

RATE = 8000
KNOBS = Knob("drive_db", 0.0, 40.0, 10.0), Knob("lowpass_hz", 500.0, 8000.0, 2000.0)


@pytest.fixture
def terminal(monkeypatch):
    """A terminal as standard input; what is written to it is typed."""
    master, slave = pty.openpty()
    with os.fdopen(slave) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield master
    os.close(master)


@pytest.mark.parametrize(
    ("key", "moved"),
    [
        ("q", (KEY_STEP, 0)),
        ("a", (-KEY_STEP, 0)),
        ("w", (0, KEY_STEP)),
        ("s", (0, -KEY_STEP)),
        ("e", (0, 0)),
        (" ", (0, 0)),
    ],
)
def test_a_key_turns_its_knob(key, moved):
    at = torch.tensor([-0.5, 0.25])
    assert torch.allclose(turned(at, key), at + torch.tensor(moved))


def test_a_knob_turns_to_its_end_and_no_further():
    turn = TurnByKeys(KNOBS, {"drive_db": 39.5}, RATE)
    turn.press("qqsx" + "s" * 100)
    assert str(turn) == "drive_db 40 dB, lowpass_hz 500 Hz"
    turn.press("a")
    assert str(turn) == "drive_db 39 dB, lowpass_hz 500 Hz"


def test_a_stream_turns_with_the_keys_as_a_render_does():
    loop = ClosedLoop(make("mlp"), Raw(), Raw(), KNOBS)
    dry = torch.rand(1000, generator=torch.Generator().manual_seed(0)) - 0.5
    turn = TurnByKeys(KNOBS, {}, RATE)
    stream, wet = Stream(loop, knobs=turn.start), []
    for block, keys in zip(dry.split(50), ["", "qqqq", "", "sq"] * 5, strict=True):
        turn.press(keys)
        wet.append(stream.process(block, knobs=turn(stream.points(50))))
    aimed, at = [], TurnByKeys(KNOBS, {}, RATE)
    for block in range(20):
        at.press(["", "qqqq", "", "sq"][block % 4])
        aimed += [at.aimed] * (-(-50 * (block + 1) // PERIOD) - -(-50 * block // PERIOD))
    knobs = smoothed(torch.stack(aimed, dim=1), turn.start, RATE)
    assert torch.allclose(torch.cat(wet), Stream(loop, knobs=turn.start).process(dry, knobs=knobs), atol=1e-6)


def test_keys_are_read_one_by_one_and_the_terminal_is_as_before(terminal):
    before = termios.tcgetattr(sys.stdin)
    with pytest.raises(KeyboardInterrupt), keys_pressed() as keys:
        assert not termios.tcgetattr(sys.stdin)[3] & (termios.ECHO | termios.ICANON)
        os.write(terminal, b"qa")
        assert keys(1.0) == "qa" and keys(0.0) == ""
        raise KeyboardInterrupt
    assert termios.tcgetattr(sys.stdin) == before


def test_a_terminal_of_another_process_is_left_alone(terminal):
    assert sys.stdin.isatty() and not has_keys()


def test_a_model_is_turned_while_it_plays(terminal, tmp_path, monkeypatch, capsys):
    model = {"_target_": "fxemu.models.MLP", "context_window": 32, "feedback_window": 16, "layers": 1, "width": 4}
    raw = {"_target_": "fxemu.representations.Raw"}
    config = {"data": {"sample_rate": RATE}, "model": model, "repr": {"input": raw, "output": raw}}
    save(ClosedLoop(make("mlp", layers=1, width=4), Raw(), Raw(), KNOBS), config, tmp_path)
    monkeypatch.setitem(sys.modules, "sounddevice", interface(np.asarray(tune(0.5, channels=1)[0]), []))
    monkeypatch.setattr("fxemu.cli.live.has_keys", lambda: True)
    wait = live._wait

    def typing(*arguments):
        os.write(terminal, b"qqqs")
        wait(*arguments)

    monkeypatch.setattr(live, "_wait", typing)
    main([str(tmp_path), "--seconds", "0.2", "--knob", "drive_db=20"])
    printed = capsys.readouterr().out
    assert "; drive_db: q up, a down; lowpass_hz: w up, s down; Ctrl-C stops" in printed
    assert printed.strip().endswith("xruns; drive_db 23 dB, lowpass_hz 1866 Hz")
