"""The whole way through a simulated box: make, play, record, read, and pairs to train on."""

import json

import pytest
import torch
from boxes import RATE, fuzz, interface, music

from fxemu import capture
from fxemu.audio import decode, write_wav
from fxemu.audio_device import DeviceError
from fxemu.metrics import esr

BOX = {"delay": 217.4, "ppm": 12.0, "noise_db": -60.0}


def box(signal: torch.Tensor) -> torch.Tensor:
    """A fuzz behind an interface, with hum and one dropout of 20 ms in the second song."""
    wet = interface(0.5 * fuzz(signal), **BOX)
    return wet + 2e-3 * torch.sin(2 * torch.pi * 50 / RATE * torch.arange(wet.numel()))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("capture")
    for i in range(3):
        write_wav(folder / "songs" / f"song{i}.wav", music(4, seed=i), RATE)
    file = folder / "capture.wav"
    capture.main(["make", "--library", str(folder / "songs"), "--seconds", "3", "--file", str(file)])
    signal, _ = decode(file)
    wet = box(signal)
    second = [s for s in json.loads(file.with_suffix(".json").read_text())["sections"] if s["kind"] == "song"][1]
    hole = second["start"] + 217 + RATE
    wet[hole : hole + 882] = 0
    write_wav(folder / "recording.wav", wet, RATE)
    return folder, signal, wet


def test_a_loopback_ends_in_pairs(made, capsys):
    folder, _, _ = made
    capture.main(
        ["read", str(folder / "recording.wav"), "--file", str(folder / "capture.wav"), "--out", str(folder / "out")]
    )
    said = capsys.readouterr().out
    for words in (
        "latency 217.4",
        "clock drift +12.0 ppm",
        "drops out for 20 ms",
        "50 Hz hum",
        "dry repeats at",
        "gain for",
    ):
        assert words in said, said
    assert said.count("train") >= 2 and "effect=recorded" in said
    names = sorted(path.name for path in (folder / "out" / "dry").iterdir())
    assert (
        names == sorted(path.name for path in (folder / "out" / "wet").iterdir()) == [f"song{i}.wav" for i in range(3)]
    )
    for name in names:
        dry, wet = (decode(folder / "out" / side / name)[0] for side in ("dry", "wet"))
        assert dry.numel() == wet.numel() == (3 * RATE if name != "song1.wav" else pytest.approx(2 * RATE, abs=1000))
        # A fuzz has edges that no recording keeps; the -60 dB of noise is below what they cost.
        assert esr(wet, 0.5 * fuzz(dry)) < 5e-3


def test_a_recording_that_was_cut_off_is_refused(made, capsys):
    folder, _, wet = made
    write_wav(folder / "cut.wav", wet[: int(0.8 * wet.numel())], RATE)
    with pytest.raises(SystemExit):
        capture.main(
            ["read", str(folder / "cut.wav"), "--file", str(folder / "capture.wav"), "--out", str(folder / "no")]
        )
    said = capsys.readouterr()
    assert "before the last marker: it is cut off" in said.out and said.err.startswith(
        "error: the recording was refused"
    )
    assert not (folder / "no").exists()


def test_live_play_checks_the_level_first(made, monkeypatch, capsys):
    folder, signal, wet = made
    played = []

    def loopback(samples, sample_rate, device):
        played.append(samples.numel())
        return wet if samples.numel() == signal.numel() else samples * 0.3

    monkeypatch.setattr(capture, "play_and_record", loopback)
    given = ["play", "--file", str(folder / "capture.wav"), "--out", str(folder / "live")]
    capture.main(given)
    assert played == [2 * RATE, signal.numel()] and "level check" in capsys.readouterr().out
    assert (folder / "live" / "wet" / "song0.wav").is_file()
    monkeypatch.setattr(capture, "play_and_record", lambda samples, *_: samples * 10)
    with pytest.raises(SystemExit):
        capture.main(given)
    assert "lower the interface's input gain" in capsys.readouterr().err


def test_without_an_audio_device_it_says_so(monkeypatch):
    import sys
    from types import SimpleNamespace

    from fxemu.audio_device import play_and_record

    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(DeviceError, match=r'pip install "fxemu\[live\]"'):
        play_and_record(torch.zeros(10), RATE)
    bare = SimpleNamespace(query_devices=lambda: [], PortAudioError=OSError)
    monkeypatch.setitem(sys.modules, "sounddevice", bare)
    with pytest.raises(DeviceError, match="no audio device on this machine"):
        play_and_record(torch.zeros(10), RATE)


@pytest.mark.parametrize(
    "content", ["", "[]", '{"version": 1}', '{"version": 2, "sample_rate": 44100, "samples": 1, "sections": []}']
)
def test_a_bad_description_is_one_line(tmp_path, capsys, content):
    write_wav(tmp_path / "capture.wav", torch.zeros(100), RATE)
    (tmp_path / "capture.json").write_text(content)
    with pytest.raises(SystemExit):
        capture.main(["read", "x.wav", "--file", str(tmp_path / "capture.wav")])
    assert capsys.readouterr().err.count("\n") == 1
