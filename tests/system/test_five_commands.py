"""The README's way from a recording to a plugin, every line of it run."""

import re
import shlex
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from helpers.commands import forked
from helpers.recordings import RATE, music

from fxemu import cli
from fxemu.audio.tensors import decode, write_wav

ROOT = Path(__file__).resolve().parent.parent.parent
# So that the training takes seconds.
SMALL = [
    "model=mlp",
    "debug=fast",
    "threads=1",
    "trainer.accelerator=cpu",
    "model.context_window=32",
    "model.feedback_window=8",
    "model.width=8",
]


def commands() -> list[list[str]]:
    section = (ROOT / "README.md").read_text().partition("## From recording to plugin in five commands")[2]
    if not section:
        pytest.skip("the README has no such section")
    return [shlex.split(line) for line in re.search(r"```bash\n(.*?)```", section, re.DOTALL)[1].splitlines()]


def fxemu(words: list[str]) -> None:
    sys.argv = ["fxemu", *words]
    cli.main()


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler (cc)")
def test_five_commands_lead_from_a_recording_to_a_plugin(tmp_path, monkeypatch):
    dry = music(6)
    write_wav(tmp_path / "dry.wav", dry, RATE)
    write_wav(tmp_path / "wet.wav", torch.tanh(5 * dry) / 2, RATE)
    write_wav(tmp_path / "song.wav", music(2), RATE)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LV2_PATH", str(tmp_path / ".lv2"))
    steps = commands()
    assert len(steps) == 5
    for program, *words in steps:
        words = [word.replace("~", str(tmp_path)) for word in words]
        if program == "lv2apply" and shutil.which(program) is None:
            pytest.skip("lv2apply is not installed (apt-get install lilv-utils)")
        more = SMALL if words[0] == "train" else []
        if program == "fxemu":
            done = forked(partial(fxemu, [*words, *more]), tmp_path)
        else:
            done = subprocess.run([program, *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{program} {words}: {done.stdout}{done.stderr}"
    played, plugin = (decode(tmp_path / f"song-{name}.wav")[0] for name in ("amp", "plugin"))
    assert played.std() > 1e-3 and (played - plugin).abs().max() < 1e-4
