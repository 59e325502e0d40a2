"""A run's first look at its library: which songs there are, while those that it needs to begin are measured."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition, Thread

from fxemu.audio.decoding import SUFFIXES
from fxemu.library.index import Entry, Index
from fxemu.library.songs import LibraryError, choose, list_audio_files, matching, scan_order, song_name


@dataclass(frozen=True)
class LibraryScan:
    """The files that are asked for, sorted, their absolute paths by name, and the scan of them that has begun."""

    files: list[str]
    songs: dict[str, str]
    scan: BackgroundScan


def first_look(
    library: str,
    glob: str = "*",
    file_count: int | None = None,
    index: str | None = None,
    excerpts: int = 6,
    shares: tuple[float, float] = (0.15, 0.2),
    split_seed: int = 0,
    seed: int = 0,
) -> LibraryScan:
    """List the songs and begin to measure them; arguments as for `fxemu.data.SongData`, `shares` of val and test.

    Nothing here needs PyTorch, so it can be done while that is imported.

    Raises:
        LibraryError: if there is no such folder, or no song in it that is asked for.
    """
    files = list_audio_files(library)
    if not files:
        raise LibraryError(f"{library}: no songs in it or below it ({', '.join(SUFFIXES)})")
    files = choose(matching(files, library, glob), file_count, seed)
    songs = {song_name(path, library): os.path.abspath(path) for path in files}
    order = scan_order(songs, excerpts, shares, split_seed)
    return LibraryScan(files, songs, BackgroundScan(Index(index), [songs[name] for name in order]))


class BackgroundScan(Thread):
    """Scans while its `entries`, by path, are used, and lets other processes go first."""

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
            for entry in self.index.scan(self.paths, self.processes, background=True):
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
        """Measure no more; what was measured is kept."""
        self.stopped = True

    def wait(self, until: Callable[[dict[str, Entry]], bool]) -> None:
        """Return when `until(entries)` is true, or everything has been measured; raises what ended the scan."""
        with self.changed:
            self.changed.wait_for(lambda: self.finished or until(self.entries))
        if self.failure:
            raise self.failure

    def hours_exceed(self, hours: float, takes: Callable[[Entry], bool] = lambda entry: True) -> bool:
        """Whether the usable songs that are selected last longer than that; waits until it is certain."""

        def exceed(entries: dict[str, Entry]) -> bool:
            return sum(e.duration_s for e in entries.values() if not e.error and takes(e)) > 3600 * hours

        self.wait(exceed)
        return exceed(self.known())

    def known(self) -> dict[str, Entry]:
        """What has been measured so far, by path."""
        with self.changed:
            return dict(self.entries)
