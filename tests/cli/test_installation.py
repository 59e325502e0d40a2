"""A broken installation is said in a line: which packages, which versions, and the command that mends it."""

import os
import subprocess
import sys

import pytest
from helpers.commands import ROOT, command

from fxemu.cli import installation
from fxemu.cli.installation import broken_installation

BROKEN = {
    "torchaudio": 'raise OSError("Could not load this library: libtorchaudio.so")',
    "numba": 'raise ImportError("Numba needs NumPy 2.3 or less. Got NumPy 2.4.")',
}


def test_nothing_is_said_of_one_that_works():
    assert broken_installation() is None


def test_an_av_without_codecs(monkeypatch):
    import av

    monkeypatch.setattr(av, "codecs_available", {"flac", "pcm_s16le"})
    said = broken_installation()
    assert said.startswith(f"av {av.__version__}: ") and "aac, mp3" in said and "pip install --force-reinstall" in said


def test_a_numba_that_cannot_compile(monkeypatch):
    def fail() -> None:
        raise RuntimeError("LLVM ERROR: no target\nmore")

    monkeypatch.setitem(installation.CHECKS, ("numba", "llvmlite", "numpy"), fail)
    said = broken_installation()
    assert said.startswith("numba ") and "LLVM ERROR: no target)" in said and "\n" not in said


@pytest.mark.parametrize("name", BROKEN)
def test_training_ends_with_that_line(name, library, tmp_path):
    """The package stands in for one of a version that does not fit."""
    (tmp_path / f"{name}.py").write_text(BROKEN[name])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))}
    given = [sys.executable, "-m", "fxemu", "train", *command(library, f"hydra.run.dir={tmp_path / 'run'}")[2:]]
    done = subprocess.run(given, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and f"{name} " in line and "pip install --force-reinstall" in line
    assert "half written" not in line
