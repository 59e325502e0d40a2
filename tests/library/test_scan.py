"""The scan of a library: which songs it lists and measures, and what is wrong with a library without any."""

import pytest
import torch

from fxemu.audio.tensors import write_wav
from fxemu.library.scan import scan_library
from fxemu.library.songs import LibraryError


@pytest.fixture
def library(tmp_path):
    for i in range(6):
        write_wav(tmp_path / "music" / f"{i}.wav", torch.rand(8000) - 0.5, 8000)
    return tmp_path / "music"


def test_it_lists_what_is_asked_for_and_measures_it(library, tmp_path):
    scanned = scan_library(str(library), "[0-4]*", 3, str(tmp_path / "index.sqlite"), seed=1)
    assert len(scanned.files) == len(scanned.songs) == 3 and set(scanned.songs) < {f"{i}.wav" for i in range(5)}
    scanned.scan.wait(lambda entries: False)
    assert set(scanned.scan.known()) == set(scanned.songs.values())
    assert sum(entry.duration_s for entry in scanned.scan.known().values()) == pytest.approx(3, abs=1e-3)


def test_what_is_not_there_is_said(library):
    with pytest.raises(LibraryError, match="no such folder"):
        scan_library(str(library / "gone"))
    (library / "empty").mkdir()
    with pytest.raises(LibraryError, match="no songs in it or below it"):
        scan_library(str(library / "empty"))
    with pytest.raises(LibraryError, match=r"none of its 6 file\(s\) fits the pattern 'x\*'"):
        scan_library(str(library), "x*")
