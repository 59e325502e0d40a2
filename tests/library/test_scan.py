"""A first look at a library: what it finds, and that it needs none of the imports that take seconds."""

import subprocess
import sys

import pytest
import torch

from fxemu.audio.tensors import write_wav
from fxemu.library.scan import first_look
from fxemu.library.songs import LibraryError


@pytest.fixture
def library(tmp_path):
    for i in range(6):
        write_wav(tmp_path / "music" / f"{i}.wav", torch.rand(8000) - 0.5, 8000)
    return tmp_path / "music"


def test_it_lists_what_is_asked_for_and_measures_it(library, tmp_path):
    look = first_look(str(library), "[0-4]*", 3, str(tmp_path / "index.sqlite"), seed=1)
    assert len(look.files) == len(look.songs) == 3 and set(look.songs) < {f"{i}.wav" for i in range(5)}
    look.scan.wait(lambda entries: False)
    assert set(look.scan.known()) == set(look.songs.values())
    assert sum(entry.duration_s for entry in look.scan.known().values()) == pytest.approx(3, abs=1e-3)


def test_what_is_not_there_is_said(library):
    with pytest.raises(LibraryError, match="no such folder"):
        first_look(str(library / "gone"))
    (library / "empty").mkdir()
    with pytest.raises(LibraryError, match="no songs in it or below it"):
        first_look(str(library / "empty"))
    with pytest.raises(LibraryError, match=r"none of its 6 file\(s\) fits the pattern 'x\*'"):
        first_look(str(library), "x*")


def test_the_way_to_it_imports_neither_pytorch_nor_lightning():
    slow = {"torch", "pytorch_lightning", "scipy", "matplotlib"}
    program = f"import sys, fxemu.cli.train; print({slow} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
