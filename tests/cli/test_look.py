"""`fxemu look`: the sentence, the picture, and errors in a line."""

import pytest
import torch
from helpers.recordings import RATE, music

from fxemu.audio.tensors import write_wav
from fxemu.cli import look


def test_it_says_what_the_box_is_and_draws_it(tmp_path, capsys):
    dry = music(5)
    write_wav(tmp_path / "dry.wav", dry, RATE)
    write_wav(tmp_path / "wet.wav", torch.nn.functional.pad(dry / 2, (100, 0)), RATE)
    look.main([str(tmp_path / name) for name in ("dry.wav", "wet.wav")] + ["--picture", str(tmp_path / "box.png")])
    told = capsys.readouterr().out
    assert "a flat response; nothing else above" in told and "gain         -6.0 dB" in told and "latency" in told
    assert (tmp_path / "box.png").read_bytes().startswith(b"\x89PNG")


def test_a_file_that_is_not_there_is_an_error_in_a_line(tmp_path, capsys):
    with pytest.raises(SystemExit):
        look.main([str(tmp_path / "dry.wav"), str(tmp_path / "wet.wav")])
    assert "no such file or folder" in capsys.readouterr().err


def test_what_is_too_short_is_said(tmp_path, capsys):
    for name in ("dry.wav", "wet.wav"):
        write_wav(tmp_path / name, music(2), RATE)
    look.main([str(tmp_path / "dry.wav"), str(tmp_path / "wet.wav")])
    assert "needs 3 s of both" in capsys.readouterr().out
