"""The index: only what is new is measured, and nothing is lost to a kill, a second run, a full disk or a bad file."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, get_ident

import pytest
import torch
from helpers.media import encode, tune

from fxemu.audio.tensors import write_wav
from fxemu.library import index as index_module
from fxemu.library.index import Entry, Index, Selection
from fxemu.library.scan import BackgroundScan, measure_songs
from fxemu.library.songs import LibraryError, list_audio_files

SCAN = (
    "import sys; from fxemu.library.index import Index; from fxemu.library.scan import measure_songs; "
    "print(len(list(measure_songs(Index(sys.argv[1]), sys.argv[2:], 1))))"
)


@pytest.fixture
def index(tmp_path) -> Index:
    return Index(tmp_path / "index.sqlite")


def paths(library: Path) -> list[str]:
    return list_audio_files(library)


def measured(index: Index, paths: list[str], monkeypatch) -> list[str]:
    """The files that a scan decodes; all get an entry."""
    decoded, put = [], index.put
    monkeypatch.setattr(index, "put", lambda entry: (decoded.append(os.path.basename(entry.path)), put(entry)))
    entries = list(measure_songs(index, paths, 2))
    assert sorted(entry.path for entry in entries) == sorted(paths)
    return sorted(decoded)


def test_only_what_is_new_or_changed_is_measured(library, index, monkeypatch):
    assert len(measured(index, paths(library), monkeypatch)) == 5
    assert measured(index, paths(library), monkeypatch) == []
    write_wav(library / "bass.wav", torch.ones(300), 8000)
    write_wav(library / "new.wav", torch.ones(200), 8000)
    assert measured(index, paths(library), monkeypatch) == ["bass.wav", "new.wav"]
    again = Index(index.file)
    assert again.known(str(library / "bass.wav")).duration_s == 300 / 8000
    assert [os.path.basename(entry.path) for entry in again.below(library / "more")] == ["keys.wav", "voice.wav"]
    assert again.below(library / "mor") == []


def test_what_is_kept_is_what_was_measured(library, index):
    (library / "odd.mp3").write_bytes(b"x")
    encode(library / "tagged.flac", tune(1), tags={"genre": "Blues"})
    strange = Path(os.fsdecode(os.fsencode(library) + b"/caf\xe9\n.wav"))
    (library / "lead.wav").rename(strange)
    entries = {entry.path: entry for entry in measure_songs(index, paths(library))}
    assert entries[str(strange)].error is None and entries[str(library / "odd.mp3")].error
    assert {entry.path: entry for entry in index.below(library)} == entries
    assert entries[str(library / "tagged.flac")].tags == {"genre": "Blues"}
    index.forget(str(strange))
    assert index.known(str(strange)) is None


def test_a_file_that_is_gone_gets_an_entry_that_is_not_kept(library, index):
    (entry,) = measure_songs(index, [str(library / "gone.wav")])
    assert entry.error == "No such file or directory"
    assert index.below(library) == []


def many(library: Path, count: int) -> list[str]:
    """Links to one song under many names."""
    for number in range(count):
        os.link(library / "bass.wav", library / f"link {number}.wav")
    return paths(library)


def test_a_scan_that_is_killed_goes_on_where_it_was(library, index, monkeypatch):
    songs = many(library, 200)
    process = subprocess.Popen([sys.executable, "-c", SCAN, str(index.file), *songs])
    while len(index.below(library)) < 20:
        assert process.poll() is None, "the scan ended before it was killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = len(index.below(library))
    assert 20 <= kept < len(songs)
    assert len(measured(Index(index.file), songs, monkeypatch)) == len(songs) - kept
    assert sqlite3.connect(index.file).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_scan_that_is_left_keeps_no_wrong_error(library, index):
    scan = measure_songs(index, many(library, 50), 2)
    next(scan)
    scan.close()
    time.sleep(0.2)
    assert [entry.error for entry in index.below(library) if entry.error] == []


def test_two_runs_may_share_an_index_from_its_making_on(library, index):
    songs = many(library, 40)
    index.file.unlink()
    with ThreadPoolExecutor(2) as pool:
        command = [sys.executable, "-c", SCAN, str(index.file), *songs]
        runs = list(pool.map(lambda _: subprocess.run(command, capture_output=True, text=True), range(2)))
    assert [run.stdout.strip() for run in runs] == ["45"] * 2, [run.stderr for run in runs]
    assert not any(run.stderr for run in runs)
    assert len(Index(index.file).below(library)) == 45


def test_an_index_may_be_made_by_several_at_the_same_instant(tmp_path, caplog):
    barrier = Barrier(4)

    def make(number: int) -> None:
        barrier.wait()
        index = Index(tmp_path / f"{number}.sqlite")
        index.put(Entry(path=f"/songs/{get_ident()}"))
        # The last one to close the file removes its log, while another opens it.
        index._db.close()

    with ThreadPoolExecutor(4) as pool:
        for number in range(8):
            list(pool.map(make, [number] * 4))
            assert len(Index(tmp_path / f"{number}.sqlite").below("/songs")) == 4
    assert not caplog.text


def test_an_index_that_is_busy_is_opened_again(tmp_path, monkeypatch, caplog):
    """SQLite itself does not wait where two change a file to write-ahead logging at once."""
    busy = sqlite3.OperationalError("database is locked")
    busy.sqlite_errorcode = sqlite3.SQLITE_BUSY
    prepared, failures = index_module._prepared, [busy, busy]

    def first_busy(db: sqlite3.Connection) -> sqlite3.Connection:
        if failures:
            raise failures.pop()
        return prepared(db)

    monkeypatch.setattr(index_module, "_prepared", first_busy)
    Index(tmp_path / "index.sqlite").put(Entry(path="/song"))
    assert len(Index(tmp_path / "index.sqlite").below("/")) == 1
    assert not caplog.text


def test_a_full_disk_costs_only_the_keeping(library, index, caplog):
    list(measure_songs(index, paths(library)[:1]))
    pages = index._db.execute("PRAGMA page_count").fetchone()[0]
    index._db.execute(f"PRAGMA max_page_count = {pages}")
    songs = many(library, 60)
    assert len(list(measure_songs(index, songs, 1))) == len(songs)
    assert "cannot be written (database or disk is full)" in caplog.text
    assert caplog.text.count("cannot be written") == 1
    assert len(index.below(library)) == len(songs)
    assert 1 <= len(Index(index.file).below(library)) < len(songs)


@pytest.mark.parametrize("place", ["a folder", "read only"])
def test_an_index_that_cannot_be_written_is_kept_in_memory(library, tmp_path, place, caplog):
    file = tmp_path / "index.sqlite"
    if place == "a folder":
        file.mkdir()
    else:
        # Root may write anywhere but below a file.
        file.touch()
        file = file / "index.sqlite"
    index = Index(file)
    assert f"the index {file} cannot be written" in caplog.text
    assert len(list(measure_songs(index, paths(library)))) == len(index.below(library)) == 5


@pytest.mark.parametrize("content", ["text", "another", "cut"])
def test_a_file_that_is_no_index_is_refused_and_left_alone(tmp_path, index, content):
    file = tmp_path / "x.sqlite"
    if content == "another":
        with sqlite3.connect(file) as db:
            db.execute("CREATE TABLE songs (mine)")
    else:
        file.write_bytes(b"my diary\n" * 900 if content == "text" else index.file.read_bytes()[:3000] + bytes(9000))
    before = file.read_bytes()
    with pytest.raises(LibraryError, match=r"x\.sqlite: not an index of fxemu's, or a damaged one .*delete it"):
        Index(file).below("/")
    assert file.read_bytes() == before


def test_an_index_of_an_older_form_is_made_anew(library, index):
    list(measure_songs(index, paths(library)))
    with sqlite3.connect(index.file) as db:
        db.execute("PRAGMA user_version = 0")
    assert Index(index.file).below(library) == []


def test_a_selection_goes_by_duration_and_loudness():
    song = Entry(path="x", duration_s=200, loudness_lufs=-14, peak=0.9)
    assert Selection().matches(song) and Selection((100, 300), (-20, -10)).matches(song)
    assert not Selection((0, 100)).matches(song)
    assert not Selection(None, (-10, 0)).matches(song)
    assert Selection(None, (-70, 0)).matches(Entry(path="x", loudness_lufs=None))
    for bad in ((3, 1), (1,)):
        with pytest.raises(ValueError, match=r"duration_s: got .*must be \[lowest, highest\]"):
            Selection(bad)


def test_a_selection_goes_by_tags():
    song = Entry(path="x", tags={"genre": "Chicago Blues", "artist": "Muddy Waters"})
    for tags in ({}, {"genre": "*blues*"}, {"genre": "chicago blues", "artist": "MUDDY*"}, {"title": "*"}):
        assert Selection(tags=tags).matches(song)
    for tags in ({"genre": "blues"}, {"genre": "*blues*", "artist": "John*"}, {"title": "?*"}):
        assert not Selection(tags=tags).matches(song)
    with pytest.raises(ValueError, match="tags: got style; there is title, artist, album, genre"):
        Selection(tags={"style": "x"})


def test_a_background_scan_tells_what_it_knows(library, index):
    scan = BackgroundScan(index, paths(library), 1)
    scan.wait(lambda entries: len(entries) >= 2)
    assert len(scan.known()) >= 2
    assert not scan.hours_exceed(1)
    assert scan.finished and len(scan.known()) == 5
    assert scan.hours_exceed(0.0006)
    # Only what is selected counts.
    assert not scan.hours_exceed(0.0006, lambda entry: False)
