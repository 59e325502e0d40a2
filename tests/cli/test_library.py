"""`fxemu library`, as a user runs it."""

import os
from pathlib import Path

import pytest
import torch
from helpers.media import encode, example, tune

from fxemu.audio.tensors import write_wav
from fxemu.cli.library import main


@pytest.fixture
def run(tmp_path, library, capsys):
    """Run a subcommand on the library; (exit status, standard output, standard error)."""

    def call(command: str, *options: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main([command, str(library), "--index", str(tmp_path / "index.sqlite"), *options])
        return end.value.code, *capsys.readouterr()

    return call


def test_scan_sums_up_the_library_and_says_what_is_wrong(run, library):
    data = example(".flac").read_bytes()
    (library / "cut.flac").write_bytes(data[: len(data) // 2])
    (library / "odd\nname.mp3").write_text("not a song")
    status, out, _ = run("scan")
    assert status == 0
    for line in ("7 file(s) looked at", "6 usable song(s), 0.00 hours", "5 x wav (pcm_f32le), 1 x flac (flac)",
                 "5 x 8000 Hz, 1 x 44100 Hz", "1 used in part:", "cut.flac: damaged after 10.6 s", "1 unusable:",
                 "odd\\nname.mp3: cannot be decoded"):  # fmt: skip
        assert line in out


def test_scan_forgets_what_is_gone(run, library):
    run("scan")
    (library / "bass.wav").unlink()
    assert "4 file(s) looked at" in (out := run("scan")[1]) and "1 gone" in out
    assert "0 gone" in run("scan")[1]


def test_list_selects(run):
    assert "5 not measured yet: `fxemu library scan" in run("list")[1]
    run("scan")
    out = run("list")[1]
    assert "5 of 5 file(s)" in out and "not measured" not in out and "bass.wav" in out
    out = run("list", "--glob", "more/*")[1]
    assert "2 of 2 file(s)" in out and "more/keys.wav" in out and "bass.wav" not in out
    assert "1 of 5 file(s)" in run("list", "--duration", "0.5", "0.5")[1]
    assert "5 of 5 file(s)" in run("list", "--loudness", "-40", "10")[1]
    assert "0 of 5 file(s)" in run("list", "--loudness", "5", "10")[1]


def test_list_selects_by_tags(run, library):
    encode(library / "tagged.flac", tune(1), tags={"genre": "Blues", "artist": "Muddy Waters"})
    run("scan")
    assert "1 of 6 file(s)" in run("list", "--tag", "genre=blues", "--tag", "artist=*waters")[1]
    assert "0 of 6 file(s)" in run("list", "--tag", "genre=jazz")[1]


def test_verify_finds_what_changed_and_what_is_gone(run, library):
    run("scan")
    assert run("verify")[:2] == (0, "5 file(s) decoded, 0 with problems\n")
    song = library / "bass.wav"
    times = song.stat()
    data = bytearray(song.read_bytes())
    data[-400:] = bytes(400)
    song.write_bytes(data)
    os.utime(song, ns=(times.st_atime_ns, times.st_mtime_ns))
    write_wav(library / "lead.wav", torch.ones(100), 8000)
    (library / "drums.WAV").unlink()
    for _ in range(2):
        status, out, _ = run("verify")
        assert status == 1
        assert "bass.wav: decodes differently than before" in out
        assert "lead.wav: has changed since it was measured" in out
        assert "drums.WAV: is gone" in out


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ("list", ["--duration", "5", "2"], "error: duration_s: got [5.0, 2.0]; must be [lowest, highest]"),
        ("list", ["--glob", "*.xyz"], "none of its 5 file(s) fits the pattern '*.xyz'"),
        ("list", ["--tag", "style=x"], "error: tags: got style; there is title, artist"),
        ("list", ["--tag", "blues"], "got 'blues'; must be NAME=PATTERN"),
        ("scan", ["--jobs", "0"], "got '0'; must be from 1 to 256"),
    ],
)
def test_a_mistake_gets_one_clear_line(run, command, options, message):
    status, _, error = run(command, *options)
    assert status in (1, 2) and message in error


def test_a_folder_that_does_not_exist(tmp_path, capsys):
    with pytest.raises(SystemExit, match="1"):
        main(["scan", str(Path(tmp_path, "nowhere")), "--index", str(tmp_path / "i.sqlite")])
    assert "nowhere: no such folder" in capsys.readouterr().err
