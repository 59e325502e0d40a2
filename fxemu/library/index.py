"""The index of a song library: the measurements of each file, in SQLite, valid until the file changes.

Safe to kill at any moment and to share between runs: every song is one short transaction in write-ahead logging.
Where the index cannot be written, a run uses one in memory.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path
from threading import Lock

import platformdirs

from fxemu.audio.loudness import Measurement
from fxemu.audio.source import TAGS
from fxemu.library.songs import LibraryError, composed

# Marks our databases, "fxmu", and the form of their table.
APPLICATION, VERSION = 0x66786D75, 2
LOCK_WAIT_S = 30.0
Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Entry(Measurement):
    """The measurement of a file, with its path, size in bytes and time of change."""

    path: str
    size: int = 0
    mtime_ns: int = 0

    @property
    def signature(self) -> tuple[int, int]:
        """Size and time of change, which differ between two states of a file."""
        return self.size, self.mtime_ns


COLUMNS = [field.name for field in fields(Entry)]
SCHEMA = f"CREATE TABLE IF NOT EXISTS songs ({', '.join(COLUMNS)}, PRIMARY KEY (path)) WITHOUT ROWID"


@dataclass(frozen=True)
class Selection:
    """Bounds on the songs of an index to use; None for none.

    Args:
        duration_s: (shortest, longest), in s.
        loudness_lufs: (quietest, loudest), in LUFS.
        tags: patterns by the name of a tag, which must all fit: `*` stands for anything, capitals for small letters.
    """

    duration_s: Range | None = None
    loudness_lufs: Range | None = None
    tags: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        for name in ("duration_s", "loudness_lufs"):
            bounds = getattr(self, name)
            if bounds is not None and not (len(bounds) == 2 and bounds[0] <= bounds[1]):
                raise LibraryError(f"{name}: got {list(bounds)}; must be [lowest, highest]")
        if unknown := set(self.tags or {}) - set(TAGS):
            raise LibraryError(f"tags: got {', '.join(sorted(map(str, unknown)))}; there is {', '.join(TAGS)}")

    def matches(self, entry: Entry) -> bool:
        """Whether a song is within the bounds; one of no measurable loudness counts as -70 LUFS."""
        loudness = -70.0 if entry.loudness_lufs is None else entry.loudness_lufs
        tagged = all(
            fnmatchcase(composed(entry.tags.get(name, "")).casefold(), composed(str(pattern)).casefold())
            for name, pattern in (self.tags or {}).items()
        )
        return tagged and _within(entry.duration_s, self.duration_s) and _within(loudness, self.loudness_lufs)


def _within(value: float, bounds: Range | None) -> bool:
    return bounds is None or bounds[0] <= value <= bounds[1]


def default_file() -> Path:
    """The index that is used unless a run names another, in the user's cache folder."""
    return platformdirs.user_cache_path("fxemu", appauthor=False) / "library.sqlite"


def file_signature(path: str) -> tuple[int, int]:
    """A file's size and time of change; OSError if it is gone."""
    state = os.stat(path)
    return state.st_size, state.st_mtime_ns


class Index:
    """Measurements by path. May be used from several threads, and several processes may share its file.

    Args:
        file: where it is kept; None for the user's cache folder.

    Raises:
        LibraryError: if there is something else at that place.
    """

    def __init__(self, file: str | os.PathLike[str] | None = None) -> None:
        self.file = Path(file) if file is not None else default_file()
        self._lock = Lock()
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self._db = self._open(str(self.file))
        except (sqlite3.OperationalError, OSError) as error:
            self._warn(error)
            self._db = self._in_memory(self._read_only())
        except sqlite3.DatabaseError as error:
            raise self._broken(error) from error

    def _open(self, name: str) -> sqlite3.Connection:
        """Open the file, waiting for other processes; SQLite's own wait does not cover a change of journal."""
        deadline = time.monotonic() + LOCK_WAIT_S
        while True:
            db = sqlite3.connect(name, timeout=LOCK_WAIT_S, isolation_level=None, check_same_thread=False)
            try:
                return _prepared(db)
            except sqlite3.OperationalError as error:
                db.close()
                busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not busy or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def _warn(self, error: Exception) -> None:
        logging.getLogger(__name__).warning(
            "the index %s cannot be written (%s): what is measured now will be measured again", self.file, error
        )

    def _broken(self, error: Exception) -> LibraryError:
        return LibraryError(
            f"{self.file}: not an index of fxemu's, or a damaged one ({error}); "
            "delete it to have it made anew, or name another file"
        )

    def _execute(self, statement: str, values: Iterable[object]) -> list[tuple[object, ...]]:
        """Run a statement; if the disk is full or cannot be written or read, continue in memory."""
        with self._lock:
            try:
                return self._db.execute(statement, values).fetchall()
            except sqlite3.OperationalError as error:
                self._warn(error)
                self._db = self._in_memory(self._db)
                return self._db.execute(statement, values).fetchall()
            except sqlite3.DatabaseError as error:
                raise self._broken(error) from error

    def _read_only(self) -> sqlite3.Connection | None:
        """The index as a file that no one changes, where nothing can be written beside it."""
        if not self.file.is_file() or os.access(self.file.parent, os.W_OK):
            return None
        return sqlite3.connect(f"{self.file.absolute().as_uri()}?immutable=1", uri=True)

    def _in_memory(self, disk: sqlite3.Connection | None) -> sqlite3.Connection:
        memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        try:
            if disk is not None:
                disk.backup(memory)
        except sqlite3.Error as error:
            self._warn(error)
        memory.execute(SCHEMA)
        return memory

    def known(self, path: str) -> Entry | None:
        """The entry of a file that has not changed since it was measured; OSError if it is gone."""
        rows = self._execute("SELECT * FROM songs WHERE path = ?", [os.fsencode(path)])
        entry = _entry(rows[0]) if rows else None
        return entry if entry and entry.signature == file_signature(path) else None

    def below(self, folder: str | os.PathLike[str]) -> list[Entry]:
        """All entries of files below a folder, sorted by path, changed or not."""
        start = os.fsencode(os.path.join(os.path.abspath(folder), ""))
        # The least name that is greater than all that begin so.
        end = start[:-1] + bytes([start[-1] + 1])
        rows = self._execute("SELECT * FROM songs WHERE path >= ? AND path < ? ORDER BY path", [start, end])
        return [_entry(row) for row in rows]

    def put(self, entry: Entry) -> None:
        """Keep an entry, on disk if that can be."""
        row = {**vars(entry), "path": os.fsencode(entry.path), "tags": json.dumps(entry.tags)}
        values = [row[name] for name in COLUMNS]
        self._execute(f"INSERT OR REPLACE INTO songs VALUES ({', '.join('?' * len(COLUMNS))})", values)

    def forget(self, path: str) -> None:
        """Delete the entry of a file."""
        self._execute("DELETE FROM songs WHERE path = ?", [os.fsencode(path)])


def _prepared(db: sqlite3.Connection) -> sqlite3.Connection:
    """The database with our table in it and write-ahead logging."""
    # Each look at it is one transaction: another process may make the table between two statements.
    db.execute("BEGIN")
    ours = _ours(db)
    db.execute("COMMIT")
    if not ours:
        db.execute("BEGIN IMMEDIATE")
        if not _ours(db):
            db.execute("DROP TABLE IF EXISTS songs")
            db.execute(SCHEMA)
            db.execute(f"PRAGMA application_id = {APPLICATION}")
            db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    return db


def _ours(db: sqlite3.Connection) -> bool:
    """True for an index of this version, False for an older one or an empty database; DatabaseError for any other."""
    mark, version = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
    if mark != APPLICATION and db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise sqlite3.DatabaseError("it is another program's database")
    return (mark, version) == (APPLICATION, VERSION)


def _entry(row: tuple[object, ...]) -> Entry:
    values = dict(zip(COLUMNS, row, strict=True))
    return Entry(**{**values, "path": os.fsdecode(values["path"]), "tags": json.loads(values["tags"])})
