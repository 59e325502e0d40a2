"""Files of recordings are matched by name; rates and channels are chosen, and what was chosen is said."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.signals import noise

from fxemu.audio.encoding import writing
from fxemu.audio.tensors import write_wav
from fxemu.cli import capture, check_pair
from fxemu.library.recordings.files import common_rate, match_files, read_side, unmatched_line
from fxemu.library.songs import LibraryError

RATE = 8000
ONE, OTHER, NONE = noise(4000, 1), noise(4000, 2), torch.zeros(4000)


def stereo(path: Path, *sides: torch.Tensor) -> Path:
    with writing(path, RATE, "stereo") as write:
        write(torch.stack(sides).numpy())
    return path


def test_folders_are_matched_by_name(tmp_path):
    for name in ("dry/a.wav", "dry/b.flac", "wet/a.flac", "wet/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(LibraryError, match="has no recording of b; names must be as in"):
        match_files(tmp_path / "dry", tmp_path / "wet")
    (tmp_path / "wet/b.mp3").touch()
    matched = match_files(tmp_path / "dry", tmp_path / "wet")
    assert [(a.name, b.name) for a, b in matched] == [("a.wav", "a.flac"), ("b.flac", "b.mp3")]
    (tmp_path / "dry/._a.wav").write_bytes(bytes.fromhex("00051607"))
    assert match_files(tmp_path / "dry", tmp_path / "wet") == matched
    (tmp_path / "dry/a.flac").touch()
    with pytest.raises(LibraryError, match="names must differ before the suffix"):
        match_files(tmp_path / "dry", tmp_path / "wet")


def test_recordings_without_a_dry_file_are_counted(tmp_path):
    for name in ("dry/a.wav", "wet/a.flac", "wet/b.wav", "wet/c\n.wav", "wet/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    line = unmatched_line(tmp_path / "dry", tmp_path / "wet")
    assert line == f"left out: 2 recording(s) of {tmp_path / 'wet'} without a dry file: b, c\\n"
    assert unmatched_line(tmp_path / "dry/a.wav", tmp_path / "wet/a.flac") is None
    assert unmatched_line(tmp_path / "dry", tmp_path / "dry") is None


@pytest.mark.parametrize(
    ("sides", "channel", "expected", "words"),
    [
        ((ONE, ONE), None, ONE, "note has 2 channels: their mean is used"),
        ((ONE, NONE), None, ONE, "note channel 2 of 2 is empty: left out"),
        ((NONE, ONE), None, ONE, "note channel 1 of 2 is empty: left out"),
        (
            (ONE, -ONE),
            None,
            NONE,
            "refused the channels of wet cancel each other: choose one with effect.wet_channel=1",
        ),
        ((ONE, OTHER), None, (ONE + OTHER) / 2, "warning the channels of wet differ, and their mean is used"),
        ((ONE, -ONE), 2, -ONE, ""),
        ((ONE, NONE), 2, NONE, ""),
        ((NONE, NONE), None, NONE, ""),
    ],
)
def test_a_channel_or_the_mean_of_those_with_sound(tmp_path, sides, channel, expected, words):
    read, notes = read_side("wet", stereo(tmp_path / "a.wav", *sides), RATE, channel)
    assert np.allclose(read, expected, atol=1e-6)
    text = " ".join(f"{kind} {note}" for kind, note in notes).replace("wet has", "has").replace("wet: ", "")
    assert words in text and bool(words) == bool(text)


def test_a_channel_that_is_not_there_is_a_one_line_error(tmp_path):
    with pytest.raises(LibraryError, match=r"wet_channel=3: it has 2 channel\(s\)"):
        read_side("wet", stereo(tmp_path / "a.wav", ONE, ONE), RATE, 3)


def test_the_most_frequent_rate_is_kept_and_others_are_resampled(tmp_path):
    for name, rate in (("dry/a", 48_000), ("wet/a", 48_000), ("dry/b", 44_100), ("wet/b", 48_000)):
        write_wav(tmp_path / f"{name}.wav", noise(4800), rate)
    assert common_rate(tmp_path / "dry", tmp_path / "wet") == 48_000
    read, notes = read_side("dry", tmp_path / "dry" / "b.wav", 48_000, None)
    assert notes == [("note", "dry is at 44100 Hz: resampled to 48000 Hz")] and read.size == pytest.approx(
        4800 * 48 / 44.1, abs=1
    )
    assert common_rate(tmp_path / "dry" / "b.wav", tmp_path / "wet" / "b.wav") == 48_000


def test_what_check_pair_cannot_use_is_one_line(tmp_path, capsys):
    for name in ("a.wav", "b.wav", "wet/a.wav"):
        write_wav(tmp_path / name, torch.zeros(RATE), RATE)
    (tmp_path / "empty").mkdir()
    refused(check_pair.main, str(tmp_path / "a.wav"), str(tmp_path / "b.wav"), "--wet-channel", "0")
    refused(check_pair.main, str(tmp_path / "empty"), str(tmp_path / "wet"))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("error: wet_channel: got 0; must be 1 or more") and len(lines) == 2
    assert lines[1] == f"error: {tmp_path / 'empty'}: holds no recordings; give a folder of audio files"


ODD = "a\n\x1b[31mb"


def refused(program: Callable[[list[str]], None], *words: str) -> None:
    with pytest.raises(SystemExit):
        program([*words])


@pytest.mark.parametrize("kind", ["missing", "junk", "folder", "twice", "without"])
def test_no_name_moves_the_cursor(tmp_path, capsys, kind):
    folder = tmp_path / ODD
    (folder / "other").mkdir(parents=True)
    one = folder / f"{ODD}.wav"
    if kind == "junk":
        one.write_text("junk")
    elif kind != "missing":
        write_wav(one, torch.zeros(RATE), RATE)
    if kind == "twice":
        (folder / f"{ODD}.flac").touch()
    one = folder if kind in ("twice", "without") else one
    refused(check_pair.main, str(one), str(folder / "other" if kind in ("folder", "twice", "without") else one))
    refused(capture.main, "read", str(one), "--file", str(folder / ODD))
    refused(capture.main, "make", "--library", str(folder / "other"), "--file", str(folder / ODD))
    printed = capsys.readouterr()
    assert ascii(ODD)[1:-1] in printed.err
    assert printed.err.count("error: ") == printed.err.count("\n") == 3 and "\x1b" not in printed.err + printed.out
