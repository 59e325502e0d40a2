"""`effect=command`: wet is the file that the command wrote, and each kind of failure is a clear error."""

import os
import shutil
import sys
import time

import pytest
import torch

from fxemu.effects import Command, EffectError

RATE = 8000
DRY = torch.sin(torch.arange(4000) * 0.1) * 0.5


def python(body: str, **arguments) -> Command:
    """A command that runs Python where x is dry, r its rate, and write(samples, rate) makes wet."""
    code = (
        "import os, sys, numpy as np; from scipy.io import wavfile\n"
        "d, w = sys.argv[1:3]; r, x = wavfile.read(d); write = lambda y, r: wavfile.write(w, r, y)\n" + body
    )
    words = [sys.executable, "-c", code, "{dry}", "{wet}", "{samples}", "{sample_rate}"]
    return Command(words, **{"settle_s": 0.0, **arguments})


def test_the_wet_file_is_returned_as_written():
    body = "assert (str(len(x)), str(r)) == tuple(sys.argv[3:]); write(-x / 2, r)"
    assert torch.equal(python(body)(DRY, RATE), -DRY / 2)


def test_latency_is_taken_out():
    body = "write(np.concatenate((np.zeros(7, np.float32), x[:-7])), r)"
    assert torch.equal(python(body, latency_samples=7)(DRY, RATE), DRY)


def test_a_song_begins_when_what_is_switched_on_is_at_rest():
    body = "write(x + np.exp(-np.arange(len(x), dtype=np.float32) / 800), r)"
    assert torch.allclose(python(body, settle_s=2.0)(DRY, RATE), DRY, atol=1e-6)
    assert float(python(body)(DRY, RATE)[0]) == pytest.approx(1.0)


def test_what_is_stereo_is_mixed_down():
    assert torch.allclose(python("write(np.stack((x, 0.5 * x), 1), r)")(DRY, RATE), 0.75 * DRY)


def test_the_command_is_run_without_a_shell(tmp_path):
    trap = f"$(touch {tmp_path}/trap); `touch {tmp_path}/trap`"
    code = "import shutil, sys; shutil.copy(*sys.argv[1:3]); assert sys.argv[3].startswith('$(touch')"
    effect = Command([sys.executable, "-c", code, "{dry}", "{wet}", trap])
    assert torch.equal(effect(DRY, RATE), DRY)
    assert not (tmp_path / "trap").exists()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("sys.exit('no such knob')", "failed with exit code 1; its last words: no such knob"),
        ("sys.stdout.buffer.write(bytes(range(256))); sys.stdout.flush(); sys.exit('no knob')", "last words: no knob$"),
        ("sys.exit('no\\n\\x1b[31m\\nknob')", r"last words: no / \\x1b\[31m / knob$"),
        ("os.abort()", "crashed \\(SIGABRT\\)"),
        ("pass", "wrote no file to {wet}"),
        ("open(w, 'w').write('hello')", "is no audio"),
        ("write(x[:-1], r)", "wrote 3999 samples; must be 4000"),
        ("write(x, 44100)", "wrote 44100 Hz; must be 8000 Hz"),
        ("write(x * np.float32('nan'), r)", "NaN"),
    ],
)  # fmt: skip
def test_each_failure_is_a_clear_error(body, message):
    with pytest.raises(EffectError, match=message):
        python(body)(DRY, RATE)


def test_a_program_that_hangs_is_ended_with_its_children(tmp_path):
    child = f"import time, pathlib; time.sleep(3); pathlib.Path({str(tmp_path / 'alive')!r}).touch()"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    effect = Command([sys.executable, "-c", code, "{dry}", "{wet}"], timeout_s=1)
    begun = time.monotonic()
    with pytest.raises(EffectError, match=r"still running after 1 s; raise effect.timeout_s"):
        effect(DRY, RATE)
    time.sleep(max(0, 3.5 - (time.monotonic() - begun)))
    assert not (tmp_path / "alive").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "command: got None; must be a list of words with {dry} and {wet}"),
        ({"command": "sox {dry} {wet}"}, "must be a list of words"),
        ({"command": ["sox", "{dry}"]}, "must be a list of words with {dry} and {wet}"),
        ({"command": ["no-such-program", "{dry}", "{wet}"]}, "no program 'no-such-program' is installed"),
        ({"command": ["cp", "{dry}", "{wet}"], "timeout_s": 0}, "timeout_s: got 0"),
    ],
)
def test_a_bad_command_is_refused_at_construction(arguments, message):
    with pytest.raises(ValueError, match=message):
        Command(**arguments)


def test_identity_depends_on_the_command_and_the_files_in_it(tmp_path):
    preset = tmp_path / "preset"
    preset.write_text("one")
    words = ["cp", "{dry}", "{wet}", str(preset)]
    before = Command(words).identity()
    assert before == Command(words).identity() != Command([*words, "-v"]).identity()
    preset.write_text("another")
    assert Command(words).identity() != before


@pytest.mark.skipif(shutil.which("sox") is None, reason="SoX is not installed (Debian: sox)")
def test_sox_for_real():
    wet = Command(["sox", "{dry}", "{wet}", "vol", "0.5"])(DRY, RATE)
    assert (wet - DRY / 2).abs().max() < 1e-6
    with pytest.raises(EffectError, match=r"exit code .*; its last words: sox FAIL"):
        Command(["sox", "{dry}", "{wet}", "no-such-effect"])(DRY, RATE)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="FFmpeg is not installed (Debian: ffmpeg)")
def test_ffmpeg_for_real():
    words = ["ffmpeg", "-i", "{dry}", "-af", "volume=0.5", "-c:a", "pcm_f32le", "{wet}"]
    assert (Command(words)(DRY, RATE) - DRY / 2).abs().max() < 1e-6


def test_nothing_is_left_in_the_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    Command(["cp", "{dry}", "{wet}"])(DRY, RATE)
    assert os.listdir(tmp_path) == []
