"""Scans of a song library: several processes measure its files, in the background if a run need not wait."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from queue import Empty, SimpleQueue
from threading import Condition, Event, Thread

from fxemu.audio.worker import Worker
from fxemu.files import printable
from fxemu.library.index import Entry, Index, file_signature
from fxemu.library.songs import KINDS, LibraryError, choose, find_songs, matching, scan_order, song_name


def measure_songs(
    index: Index,
    paths: Iterable[str],
    processes: int | None = None,
    afresh: bool = False,
    background: bool = False,
) -> Iterator[Entry]:
    """Yield an entry for each path, as soon as it is known: from the index, or once a process has measured the file.

    A file that changes while it is measured is kept as what it was before, and so measured again next time.

    Args:
        index: keeps the measurements.
        paths: absolute paths.
        processes: decoding at once; None for as many as there are cores.
        afresh: measure the files in the index too, and leave the index as it is.
        background: let other processes of the machine go first.
    """
    scan = _Scan(index, afresh, background)
    for path in paths:
        scan.todo.put(path)
    workers = [Worker() for _ in range(processes or os.cpu_count() or 1)]
    # Daemons: a program that ends does not wait for them.
    threads = [Thread(target=scan.measure_all, args=(worker,), daemon=True) for worker in workers]
    for thread in threads:
        thread.start()
    try:
        for _ in threads:
            for entry in iter(scan.done.get, None):
                if isinstance(entry, Exception):
                    raise entry
                yield entry
    finally:
        scan.stop.set()
        for worker in workers:
            worker.interrupt()


@dataclass(frozen=True)
class _Scan:
    """State shared by the threads of one scan: paths to measure, entries measured, and whether to stop."""

    index: Index
    afresh: bool
    background: bool
    todo: SimpleQueue[str] = field(default_factory=SimpleQueue)
    done: SimpleQueue[Entry | Exception | None] = field(default_factory=SimpleQueue)
    stop: Event = field(default_factory=Event)

    def measure_all(self, worker: Worker) -> None:
        """Take paths until there are none, and put their entries, then None."""
        try:
            while not self.stop.is_set():
                self.done.put(self._entry(worker, self.todo.get_nowait()))
        except Empty:
            pass
        except Exception as error:
            self.done.put(error)
        finally:
            worker.close()
            self.done.put(None)

    def _entry(self, worker: Worker, path: str) -> Entry:
        try:
            if not self.afresh and (entry := self.index.known(path)):
                return entry
            size, mtime_ns = file_signature(path)
        except OSError as error:
            return Entry(path=path, error=error.strerror)
        entry = Entry(path=path, size=size, mtime_ns=mtime_ns, **asdict(worker.measure(path, self.background)))
        # A worker that was interrupted has found an error that is none; one that waited may do better another time.
        if not (self.afresh or self.stop.is_set() or worker.timed_out):
            self.index.put(entry)
        return entry


class BackgroundScan(Thread):
    """Measures songs in a thread while its `entries`, by path, are used; other processes of the machine go first.

    Args:
        index: keeps the measurements.
        paths: absolute paths, in the order to measure them in.
        processes: decoding at once; None for as many as there are cores.
    """

    def __init__(self, index: Index, paths: list[str], processes: int | None = None) -> None:
        super().__init__(daemon=True, name="scan")
        self.index, self.paths, self.processes = index, paths, processes
        self.entries: dict[str, Entry] = {}
        self.finished = self.stopped = False
        self.failure: Exception | None = None
        self.changed = Condition()
        self.start()

    def run(self) -> None:
        try:
            for entry in measure_songs(self.index, self.paths, self.processes, background=True):
                with self.changed:
                    self.entries[entry.path] = entry
                    self.changed.notify_all()
                if self.stopped:
                    break
        except Exception as error:
            self.failure = error
        finally:
            with self.changed:
                self.finished = True
                self.changed.notify_all()

    def stop(self) -> None:
        """Measure no further files."""
        self.stopped = True

    def wait(self, until: Callable[[dict[str, Entry]], bool]) -> None:
        """Wait until `until(entries)` is true or all is measured; raises the error that ended the scan, if any."""
        with self.changed:
            self.changed.wait_for(lambda: self.finished or until(self.entries))
        if self.failure:
            raise self.failure

    def hours_exceed(self, hours: float, matches: Callable[[Entry], bool] = lambda entry: True) -> bool:
        """Whether the usable songs that are selected last longer than that; waits until it is certain."""

        def exceed(entries: dict[str, Entry]) -> bool:
            return sum(e.duration_s for e in entries.values() if not e.error and matches(e)) > 3600 * hours

        self.wait(exceed)
        return exceed(self.known())

    def known(self) -> dict[str, Entry]:
        """The entries so far, by path."""
        with self.changed:
            return dict(self.entries)


@dataclass(frozen=True)
class LibraryScan:
    """The files of a library, sorted, their absolute paths by name, and the running scan that measures them."""

    files: list[str]
    songs: dict[str, str]
    scan: BackgroundScan


def scan_library(
    library: str,
    glob: str = "*",
    file_count: int | None = None,
    index: str | None = None,
    excerpts: int = 6,
    shares: tuple[float, float] = (0.15, 0.2),
    split_seed: int = 0,
    seed: int = 0,
) -> LibraryScan:
    """List the songs of a library, and begin to measure them, those first without which no run begins.

    Args: as for `fxemu.data.SongData`; `shares` are those of validation and test.

    Raises:
        LibraryError: if there is no such folder, or no song in it that is asked for.
    """
    files, others = find_songs(library)
    if not files:
        raise LibraryError(others or f"{printable(library)}: no songs in it or below it ({KINDS})")
    if others:
        logging.getLogger(__name__).warning("%s", others)
    files = choose(matching(files, library, glob), file_count, seed)
    songs = {song_name(path, library): os.path.abspath(path) for path in files}
    order = scan_order(songs, excerpts, shares, split_seed)
    return LibraryScan(files, songs, BackgroundScan(Index(index), [songs[name] for name in order]))
