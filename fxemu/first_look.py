"""A run's first look at its library: which songs there are, while those that it needs to begin are measured."""

from __future__ import annotations

import os
from dataclasses import dataclass

from fxemu.decoding import SUFFIXES
from fxemu.index import BackgroundScan, Index
from fxemu.library import LibraryError, choose, list_audio_files, matching, scan_order, song_name


@dataclass(frozen=True)
class FirstLook:
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
) -> FirstLook:
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
    return FirstLook(files, songs, BackgroundScan(Index(index), [songs[name] for name in order]))
