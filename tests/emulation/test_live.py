"""Playing live through a simulated interface that keeps time, and its failures."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.media import tune
from helpers.sounddevice import interface

from fxemu.audio.polyphase import round_trip
from fxemu.cli.live import main
from fxemu.emulation import live, load
from fxemu.models.files import save

RATE = 44_100
RAW = {"_target_": "fxemu.representations.Raw"}
MLP = {"_target_": "fxemu.models.MLP", "context_window": 32, "feedback_window": 16, "layers": 2, "width": 8}


@pytest.fixture
def run(tmp_path, make_loop) -> Path:
    config = {"data": {"sample_rate": RATE}, "model": MLP, "repr": {"input": RAW, "output": RAW}}
    save(make_loop(), config, tmp_path)
    return tmp_path


def played(monkeypatch, run: Path, *words: object) -> tuple[np.ndarray, SimpleNamespace]:
    """The output of the interface, (samples, channels), and the interface."""
    blocks: list[np.ndarray] = []
    device = interface(tune(1.0, channels=1)[0], blocks)
    monkeypatch.setitem(sys.modules, "sounddevice", device)
    main([str(run), *map(str, words)])
    return np.concatenate(blocks), device


def counted(printed: str) -> tuple[int, int, int]:
    """Blocks, late ones and xruns."""
    return tuple(int(n) for n in re.search(r"(\d+) blocks, (\d+) late .*, (\d+) xruns", printed).groups())


def test_what_is_played_is_the_emulation(monkeypatch, run, capsys):
    out, device = played(monkeypatch, run, "--seconds", 1, "--mix", 0.75, "--output-gain-db", -6)
    dry = np.resize(tune(1.0, channels=1)[0], len(out))
    wet = load(run).stream().process(torch.from_numpy(dry)).numpy()
    expected = 10 ** (-6 / 20) * (0.75 * wet + 0.25 * dry)
    assert np.abs(out - expected[:, None]).max() < 1e-5 and out.shape[1] == 2
    printed = capsys.readouterr().out
    assert "44100 Hz, blocks of 64 samples (1.45 ms), latency 10.0 ms" in printed
    blocks, _, xruns = counted(printed)
    # How many are late a busy machine decides; `scripts/benchmark.py live` counts them on a quiet one.
    assert 0 < blocks < 1.1 * RATE / 64
    assert blocks * 64 == len(out) and xruns in (device.streams[0].late, device.streams[0].late - 1)


def test_an_interface_at_another_rate_plays_the_same_later(monkeypatch, run, capsys):
    out, _ = played(monkeypatch, run, "--seconds", 0.3, "--rate", 48_000, "--block-size", 100, "--mix", 0.5)
    dry, late = np.resize(tune(1.0, channels=1)[0], len(out)), round_trip(48_000, RATE)
    expected = 0.5 * (load(run)(dry, 48_000) + dry)
    assert np.abs(out[late:, 0] - expected[:-late]).max() < 1e-5
    assert "48000 Hz, blocks of 100 samples (2.08 ms)" in (printed := capsys.readouterr().out)
    assert "the model adds 1.4" in printed


def test_oversampled_dry_is_mixed_in_as_late_as_wet(monkeypatch, run, capsys):
    out, _ = played(monkeypatch, run, "--seconds", 0.2, "--mix", 0, "--oversample", 2)
    dry = np.resize(tune(1.0, channels=1)[0], len(out))
    assert np.array_equal(out[64:, 0], dry[:-64]) and not out[:64].any()
    assert "(4.0 in, 6.0 out; the model adds 1.5)" in capsys.readouterr().out


def test_the_output_of_a_model_that_overflows_is_silence(monkeypatch, run, capsys):
    monkeypatch.setattr(
        "fxemu.engine.streaming.stream.Stream.process", lambda self, dry, fed=None, knobs=None: dry * float("nan")
    )
    out, _ = played(monkeypatch, run, "--seconds", 0.1)
    assert out.size and not out.any()


def test_late_blocks_and_xruns_are_counted(monkeypatch, run, capsys):
    process = live.LiveProcessor.__call__

    def slow(self, dry, lost):
        self.budget_s = 0.0
        live.time.sleep(0.004)
        return process(self, dry, lost)

    monkeypatch.setattr(live.LiveProcessor, "__call__", slow)
    _, device = played(monkeypatch, run, "--seconds", 0.3)
    blocks, late, xruns = counted(capsys.readouterr().out)
    assert late == blocks == device.streams[0].late and xruns == blocks - 1


def test_it_ends_with_ctrl_c(monkeypatch, run, capsys):
    calls = []

    def sleep(seconds):
        calls.append(seconds)
        if len(calls) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(live, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: 0.0, perf_counter=lambda: 0.0))
    played(monkeypatch, run)
    assert "xruns" in capsys.readouterr().out


def refused(run: Path, capsys, *words: object) -> str:
    with pytest.raises(SystemExit) as ended:
        main([str(run), *map(str, words)])
    assert ended.value.code == 1
    printed = capsys.readouterr().err
    assert printed.startswith("error: ") and printed.count("\n") == 1
    return printed


def test_an_interface_that_stops_is_named(monkeypatch, run, capsys):
    device = interface(np.zeros(RATE, np.float32), [])
    monkeypatch.setitem(sys.modules, "sounddevice", device)
    monkeypatch.setattr("helpers.sounddevice.FakeStream.active", False)
    assert "the audio interface stopped" in refused(run, capsys)


def test_without_an_interface_it_says_what_to_do(monkeypatch, run, capsys):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert 'live needs sounddevice: pip install "fxemu[live]"' in refused(run, capsys)
    bare = SimpleNamespace(query_devices=lambda: [], PortAudioError=OSError)
    monkeypatch.setitem(sys.modules, "sounddevice", bare)
    assert "no audio device on this machine: fxemu render works without one" in refused(run, capsys)


def test_a_portaudio_that_does_not_start_is_a_one_line_error(monkeypatch, tmp_path, run, capsys):
    (tmp_path / "sounddevice.py").write_text("raise RuntimeError('Error initializing PortAudio')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    assert "no sound on this machine (Error initializing PortAudio)" in refused(run, capsys)


def test_an_interface_that_refuses_is_named(monkeypatch, run, capsys):
    device = interface(np.zeros(RATE, np.float32), [])

    def refuses(*_, **__):
        raise device.PortAudioError("Invalid sample rate")

    device.Stream = refuses
    monkeypatch.setitem(sys.modules, "sounddevice", device)
    assert "audio device 3: Invalid sample rate; see python -m sounddevice" in refused(run, capsys, "--device", 3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--block-size", 8], "--block-size: got 8; must be from 16 to 8192 samples"),
        (["--seconds", 0], "--seconds: got 0.0; must be above 0"),
        (["--rate", 1], "--rate: got 1; must be a whole number from 8000 to 192000 Hz"),
        (["--mix", -1], "--mix: got -1.0"),
    ],
)
def test_a_wrong_argument_is_a_one_line_error(run, capsys, words, message):
    assert message in refused(run, capsys, *words)


def test_a_missing_run_is_a_one_line_error(tmp_path, capsys):
    assert "no such run" in refused(tmp_path / "nowhere", capsys)
