"""A capture through a simulated box: make, play, record, read, and pairs to train on."""

import csv
import json
import re
import sys
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.recordings import RATE, fuzz, interface, music

from fxemu.audio.encoding import writing
from fxemu.audio.tensors import decode, write_wav
from fxemu.cli import capture
from fxemu.effects import Recorded
from fxemu.evaluation.metrics import esr
from fxemu.library.pair import Pair
from fxemu.library.recordings.files import match_files
from fxemu.models.knobs import Knob

PIECES = slice(RATE, 2 * RATE), slice(2 * RATE, 3 * RATE)
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
    with writing(folder / "recording.wav", RATE, "stereo") as write:
        write(np.stack([wet.numpy()] * 2))
    return folder, signal, wet


def test_a_recorded_capture_becomes_pairs(made, capsys):
    folder, _, _ = made
    capture.main(
        ["read", str(folder / "recording.wav"), "--file", str(folder / "capture.wav"), "--out", str(folder / "out")]
    )
    printed = capsys.readouterr().out
    for words in (
        "recording has 2 channels: their mean is used",
        "latency 21",
        "clock drift +12.0 ppm",
        "drops out for 20 ms",
        "50 Hz hum",
        "dry repeats at",
        "gain for",
    ):
        assert words in printed, printed
    assert printed.count("train") >= 2 and "effect=recorded" in printed
    names = sorted(path.name for path in (folder / "out" / "dry").iterdir())
    assert names == sorted(path.name for path in (folder / "out" / "wet").iterdir())
    # The second song on both sides of the dropout.
    assert names == ["song0.wav", "song1-2.wav", "song1.wav", "song2.wav"]
    for name in names:
        dry, wet = (decode(folder / "out" / side / name)[0] for side in ("dry", "wet"))
        seconds = {"song1.wav": 1, "song1-2.wav": 2}.get(name, 3)
        assert dry.numel() == wet.numel() == pytest.approx(seconds * RATE, abs=1000)
        # The margin and the fraction are left; a fuzz has edges that no recording keeps; noise at -60 dB costs less.
        late = BOX["delay"] - int(re.search(r"latency (\d+) samples", printed)[1])
        assert 0 <= late < 4 and esr(wet, interface(0.5 * fuzz(dry), late, 0, -90)[: wet.numel()]) < 5e-3


def test_a_recording_that_was_cut_off_is_refused(made, capsys):
    folder, _, wet = made
    write_wav(folder / "cut.wav", wet[: int(0.8 * wet.numel())], RATE)
    with pytest.raises(SystemExit):
        capture.main(
            ["read", str(folder / "cut.wav"), "--file", str(folder / "capture.wav"), "--out", str(folder / "no")]
        )
    printed = capsys.readouterr()
    assert "before the last marker: it is cut off" in printed.out and printed.err.startswith(
        "error: the recording was refused"
    )
    assert not (folder / "no").exists()


def test_songs_missing_from_a_cut_off_recording_are_left_out(made, capsys):
    folder, _, wet = made
    write_wav(folder / "cut.wav", wet[: int(0.8 * wet.numel())], RATE)
    out = folder / "forced"
    capture.main(["read", str(folder / "cut.wav"), "--file", str(folder / "capture.wav"), "--out", str(out), "--force"])
    pairs = [tuple(decode(out / side / path.name)[0] for side in ("dry", "wet")) for path in (out / "dry").iterdir()]
    assert 0 < sum(dry.numel() for dry, _ in pairs) < 9 * RATE
    assert all(dry.numel() == wet.numel() and wet[-RATE // 10 :].abs().max() > 0.01 for dry, wet in pairs)


def test_pairs_of_another_capture_are_not_mixed_with_these(made, capsys):
    folder, _, _ = made
    write_wav(folder / "mixed" / "wet" / "other.wav", torch.zeros(100), RATE)
    (folder / "mixed" / "wet" / ".DS_Store").touch()
    with pytest.raises(SystemExit):
        capture.main(
            [
                "read",
                str(folder / "recording.wav"),
                "--file",
                str(folder / "capture.wav"),
                "--out",
                str(folder / "mixed"),
            ]
        )
    assert "holds other.wav of another capture; choose another folder with --out" in capsys.readouterr().err
    assert not (folder / "mixed" / "dry").exists()


def play(made, monkeypatch, input_gain: float) -> list[np.ndarray]:
    """Run `fxemu capture play` with a stand-in for sounddevice, the level check at a gain; the signals it played."""
    folder, signal, wet = made
    played = []

    def playrec(samples, rate, channels, device, blocking):
        assert (samples.dtype, rate, channels, device, blocking) == (np.float32, RATE, 1, 3, True)
        played.append(samples[:, 0])
        return wet[: len(samples), None].numpy() if len(samples) > signal.numel() else input_gain * samples

    fake = SimpleNamespace(query_devices=lambda: ["an interface"], PortAudioError=OSError, playrec=playrec)
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    with suppress(SystemExit):
        capture.main(["play", "--device", "3", "--file", str(folder / "capture.wav"), "--out", str(folder / "live")])
    return played


def test_playing_live_checks_the_level_and_writes_pairs(made, monkeypatch, capsys):
    folder, signal, _ = made
    trial, music = play(made, monkeypatch, input_gain=0.5)
    printed = capsys.readouterr().out
    assert "level check: the loudest 2 s come back at -6.1 dBFS" in printed and "4 pairs in" in printed
    # Both end with half a second of silence, for the latency.
    assert (trial.size, music.size) == (2 * RATE + RATE // 2, signal.numel() + RATE // 2)
    assert np.array_equal(music[: signal.numel()], signal.numpy()) and not music[signal.numel() :].any()
    assert (folder / "live" / "wet" / "song0.wav").is_file() and (folder / "live" / "recording.wav").is_file()


@pytest.mark.parametrize(
    ("input_gain", "message"),
    [
        (10, "error: level: 20.0 dBFS; must be from -40 to -0.5 dBFS: lower the interface's input gain\n"),
        (1e-3, "error: level: -60.0 dBFS; must be from -40 to -0.5 dBFS: raise it, and look at the cables\n"),
    ],
)
def test_nothing_more_is_played_at_a_wrong_level(made, monkeypatch, capsys, input_gain, message):
    assert len(play(made, monkeypatch, input_gain)) == 1
    assert capsys.readouterr().err == message


def broken(error: Exception) -> SimpleNamespace:
    """A sounddevice whose interface refuses with `error`."""

    def playrec(*_, **__):
        raise error

    return SimpleNamespace(query_devices=lambda: ["an interface"], PortAudioError=OSError, playrec=playrec)


@pytest.mark.parametrize(
    ("sounddevice", "message"),
    [
        (None, 'capture play needs sounddevice: pip install "fxemu[live]"'),
        (
            SimpleNamespace(query_devices=lambda: [], PortAudioError=OSError),
            "no audio device on this machine: play the file elsewhere, then fxemu capture read",
        ),
        (broken(OSError("rate not supported")), "audio device default: rate not supported; see python -m sounddevice"),
        (broken(ValueError("no such device")), "audio device default: no such device; see python -m sounddevice"),
    ],
)
def test_without_an_audio_device_it_says_so(made, monkeypatch, capsys, sounddevice, message):
    monkeypatch.setitem(sys.modules, "sounddevice", sounddevice)
    with pytest.raises(SystemExit):
        capture.main(["play", "--file", str(made[0] / "capture.wav")])
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: {message}") and printed.count("\n") == 1


def described(**changes) -> str:
    """A description that fits 100 samples, but for the changes."""
    sections = [{"kind": kind, "name": "a", "start": 0, "samples": 100} for kind in ("marker", "song")]
    return json.dumps({"version": 1, "sample_rate": RATE, "samples": 100, "sections": sections} | changes)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "No such file or directory"),
        ("", "it is empty"),
        (described()[:60], "it is no JSON, or damaged"),
        ("[]", "got list; must hold version, sample_rate, samples, sections"),
        ('{"title": "My song", "tracks": []}', "got title, tracks; must hold version, sample_rate, samples, sections"),
        (described(samples="100"), "must hold version, sample_rate, samples, sections"),
        (described(version=2), "got version 2; must be 1"),
        (described(sample_rate=0), "got a sample_rate of 0; must be from 8000 to 192000"),
        (described(sections=[]), "got no section that is a marker or a song"),
        (described(sections=[{"kind": "song"}]), "got the section {'kind': 'song'}; must hold kind, name, start"),
        (
            described(sections=[{"kind": "song", "name": "", "start": 0, "samples": 50}]),
            "got a song with the name ''",
        ),
        (described(samples=50), "must hold kind, name, start, samples, and lie within the file"),
        (described(samples=200), "lasts 100 samples at 44100 Hz, but"),
    ],
)
def test_a_damaged_or_foreign_description_is_a_one_line_error(tmp_path, capsys, content, fault):
    write_wav(tmp_path / "capture.wav", torch.zeros(100), RATE)
    if content is not None:
        (tmp_path / "capture.json").write_text(content)
    with pytest.raises(SystemExit) as left:
        capture.main(["read", "x.wav", "--file", str(tmp_path / "capture.wav")])
    printed = capsys.readouterr().err
    assert left.value.code == 1 and fault in printed and printed.count("\n") == 1
    assert printed.startswith(f"error: {tmp_path}/capture.") and "or run fxemu capture make" in printed


def test_songs_of_one_name_are_kept_apart():
    names: list[str] = []
    for song in ("x/y.wav", "x-y.mp3", "x-y.flac", "../z.wav"):
        names.append(capture._flat(song, names))
    assert names == ["x-y.wav", "x-y-2.wav", "x-y-3.wav", "--z.wav"]


def test_a_box_with_knobs_is_recorded_setting_by_setting(made, tmp_path, monkeypatch, capsys):
    songs, table = str(made[0] / "songs"), tmp_path / "box.csv"
    words = ["--knobs", "gain:0-10", "--settings", "7", "--seconds", "1", "--file", str(tmp_path / "box.wav")]
    capture.main(["make", "--library", songs, *words])
    assert "7 settings, " in capsys.readouterr().out
    with table.open() as file:
        gains = {row["file"]: float(row["gain"]) for row in csv.DictReader(file)}

    def recorded(recording, file, force):
        """In place of the alignment: what was played, and what the box made of it, in two pieces."""
        assert recording.stem == file.stem
        return [Pair("song", *(decode(path)[0][part] for path in (file, recording))) for part in PIECES], RATE

    monkeypatch.setattr(capture, "_recorded", recorded)
    read = ["read", str(tmp_path / "recorded"), "--file", str(table), "--out", str(tmp_path / "out")]
    for number, name in enumerate(list(gains)[:6]):
        write_wav(tmp_path / "recorded" / name, 0.1 * gains[name] * decode(tmp_path / name)[0], RATE)
        if number == 4:
            with pytest.raises(SystemExit):
                capture.main(read)
    assert "recordings of 5 settings; at least 6 are needed" in capsys.readouterr().err
    capture.main(read)
    printed = capsys.readouterr().out
    assert "without box-07.wav" in printed and "12 pairs in" in printed and '"knobs={gain: [0, ' in printed
    effect = Recorded(str(tmp_path / "out" / "dry"), str(tmp_path / "out" / "wet")).with_knobs([Knob("gain", 0, 10, 0)])
    found = match_files(effect.dry, effect.wet)
    for (dry, wet), at in zip(found, effect.positions(found), strict=True):
        dry, wet = decode(dry)[0], decode(wet)[0]
        assert torch.allclose(wet, 0.1 * (5 + 5 * at) * dry, atol=1e-4)
