"""A library of songs: finding, reading and splitting them into training, validation and test songs."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fxemu.audio.decoding import OTHER_SUFFIXES, READ_SUFFIXES, SUFFIXES
from fxemu.audio.source import AudioError
from fxemu.errors import UserError
from fxemu.files import printable

if TYPE_CHECKING:
    from torch import Tensor

PARTS = ("train", "val", "test")
SOUNDING = {*READ_SUFFIXES, *OTHER_SUFFIXES}
# For messages.
KINDS = f"{', '.join(SUFFIXES)} and others"
# Songs left out of which each has a line.
MOST_SHOWN = 20
# The first bytes of an AppleDouble file (RFC 1740).
APPLE_DOUBLE = bytes.fromhex("00051607")


class LibraryError(UserError):
    """A library that cannot be used; the message says what was found and what is needed."""


def list_audio_files(examples_dir: str | os.PathLike[str] = "examples") -> list[str]:
    """Paths of all songs below a folder, sorted: aac, flac, m4a, mp3, mp4, ogg and wav, suffix in any case.

    As for `list_songs`, which knows more kinds of files.
    """
    return [path for path in list_songs(examples_dir) if _suffix(path) in SUFFIXES]


def list_songs(folder: str | os.PathLike[str]) -> list[str]:
    """Paths of all files below a folder that may be decoded, by their suffix in any case (`READ_SUFFIXES`), sorted.

    Links are followed, each folder is entered once, and unreadable ones are passed over, as are the files that macOS
    writes beside others on foreign disks (`._NAME`).

    Raises:
        LibraryError: if there is no such folder.
    """
    return find_songs(folder)[0]


def find_songs(folder: str | os.PathLike[str]) -> tuple[list[str], str | None]:
    """The paths of `list_songs`, and a line on the files that hold sound and are passed over; None if there are none.

    Raises:
        LibraryError: if there is no such folder.
    """
    songs, others = [], Counter()
    for path in _files(folder):
        if (suffix := _suffix(path)) in READ_SUFFIXES:
            songs.append(path)
        else:
            others[suffix] += 1
    kinds = ", ".join(f"{count} x {suffix}" for suffix, count in others.most_common())
    line = f"{printable(folder)}: passed over {others.total()} file(s) of kinds that are not read: {kinds}"
    return songs, line if others else None


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _files(folder: str | os.PathLike[str]) -> list[str]:
    """All files below a folder that hold sound by their suffix, sorted."""
    # An empty name is not the current folder, but that of a variable that is not set.
    if not os.fspath(folder) or not os.path.isdir(folder):
        raise LibraryError(f"{printable(folder)}: no such folder; give one that holds songs ({KINDS})")
    files, seen = [], set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        paths = (os.path.join(parent, name) for name in names if _suffix(name) in SOUNDING)
        files += [path for path in paths if os.path.isfile(path) and not is_apple_double(path)]
    return sorted(os.path.normpath(path) for path in files)


def is_apple_double(path: str) -> bool:
    """Whether a file holds what macOS keeps beside another, whose name follows `._` in its own."""
    if not os.path.basename(path).startswith("._"):
        return False
    try:
        with open(path, "rb") as file:
            return file.read(4) == APPLE_DOUBLE
    except OSError:
        return False


def composed(name: str) -> str:
    """A name in Unicode's composed form: systems differ in how they write accents, which are then equal."""
    return unicodedata.normalize("NFC", name)


def matching(paths: list[str], root: str | os.PathLike[str], pattern: str) -> list[str]:
    """Paths that fit a pattern below the library: `*` stands for anything, `?` for a letter, `[ab]` for a or b.

    Raises:
        LibraryError: if none does.
    """
    fitting = [path for path in paths if fnmatchcase(composed(song_name(path, root)), composed(pattern))]
    if not fitting:
        raise LibraryError(f"{printable(root)}: none of its {len(paths)} file(s) fits the pattern {pattern!r}")
    return fitting


def read_audio_normalized(file_path: str | os.PathLike[str], sample_rate: int | None = None) -> NDArray[np.float32]:
    """A song as float32 mono (samples,) with a peak of exactly 1.0.

    Args:
        file_path: any file FFmpeg reads; channels are averaged.
        sample_rate: in Hz to resample to; None keeps the file's own.

    Raises:
        AudioError: for a file that cannot be read, or is silent.
    """
    return _read(file_path, sample_rate).numpy()


def _read(path: str | os.PathLike[str], sample_rate: int | None) -> Tensor:
    # Imported here, so that `fxemu library` starts without PyTorch.
    from fxemu.audio.tensors import decode, peak_normalize

    samples, _ = decode(path, sample_rate)
    try:
        return peak_normalize(samples)
    except ValueError as error:
        raise AudioError(f"{printable(path)}: {error}") from error


def song_name(path: str | os.PathLike[str], root: str | os.PathLike[str]) -> str:
    """The name of a song: its path below the library, fit to print."""
    return printable(os.path.relpath(path, root))


def file_stem(name: str) -> str:
    """A song's name as the first part of a file name, at most 200 bytes long."""
    stem = name.replace(os.sep, "-")
    if len(os.fsencode(stem)) <= 200:
        return stem
    return f"{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}-{stem[-40:]}"


@dataclass(frozen=True)
class Song:
    """A peak-normalised song: `name` is its path below the library, `dry` is float32 (samples,)."""

    name: str
    dry: Tensor


@dataclass
class Skipped:
    """Songs left out, each with the first reason given, for one report at the end."""

    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, reason: str) -> None:
        self.reasons.setdefault(name, reason)

    def __bool__(self) -> bool:
        return bool(self.reasons)

    def __str__(self) -> str:
        shown = [f"  {reason}" for reason in list(self.reasons.values())[:MOST_SHOWN]]
        more = len(self.reasons) - len(shown)
        rest = [f"  and {more} more, which `fxemu library scan` lists"] if more else []
        return "\n".join([f"skipped {len(self.reasons)} song(s):", *shown, *rest])


def read_songs(
    paths: Iterable[str],
    sample_rate: int,
    shortest: int,
    skipped: Skipped,
    root: str | os.PathLike[str] = ".",
) -> list[Song]:
    """Read songs at one sample rate, leaving out those that are unreadable, silent or too short.

    Args:
        paths: files to read.
        sample_rate: in Hz.
        shortest: samples a song must have at that rate.
        skipped: takes the name and reason of each song left out.
        root: the library's folder, which song names are relative to.
    """
    songs = []
    for path in paths:
        try:
            dry = _read(path, sample_rate)
        except AudioError as error:
            skipped.add(path, str(error))
            continue
        if dry.numel() < shortest:
            needed = f"{shortest} samples ({shortest / sample_rate:.2f} s) are needed"
            skipped.add(path, f"{printable(path)}: too short: {dry.numel()} samples at {sample_rate} Hz, {needed}")
            continue
        songs.append(Song(song_name(path, root), dry))
    return songs


def check_shares(val_share: float, test_share: float) -> None:
    """ValueError unless both shares of the songs are above 0 and leave some to train on."""
    if not (val_share > 0 and test_share > 0 and val_share + test_share < 1):
        raise ValueError(
            f"data.val_share and data.test_share: got {val_share} and {test_share}; "
            "both must be above 0, and their sum below 1"
        )


def split_songs(
    names: Iterable[str], val_share: float = 0.15, test_share: float = 0.2, seed: int = 0, few: int = 3
) -> dict[str, list[str]]:
    """Divide songs into train, val and test by a hash of their names.

    A song's part depends on its name and the seed alone, so it stays where it is when others come and go. Only in a
    small library, where val or test would hold fewer than `few` songs, do they take those nearest to them (up to a
    quarter of the songs each, and one at least).

    Raises:
        LibraryError: for fewer than three songs.
    """
    place = {name: _place(name, seed) for name in sorted(set(names))}
    if len(place) < len(PARTS):
        raise LibraryError(
            f"got {len(place)} usable song(s); at least {len(PARTS)} are needed, "
            "one each to train on, to validate on and to test on"
        )
    ordered = sorted(place, key=place.__getitem__)
    tests = sum(place[name] < test_share for name in ordered)
    vals = sum(test_share <= place[name] < test_share + val_share for name in ordered)
    least = max(1, min(few, len(ordered) // 4))
    tests = min(max(tests, least), len(ordered) - 2)
    vals = min(max(vals, least), len(ordered) - tests - 1)
    test, val, train = ordered[:tests], ordered[tests : tests + vals], ordered[tests + vals :]
    return {"train": sorted(train), "val": sorted(val), "test": sorted(test)}


def hash_order(names: Iterable[str], seed: int = 0) -> list[str]:
    """Names in an order that each name and the seed decide: test songs first, then validation, then training."""
    return sorted(names, key=lambda name: _place(name, seed))


def scan_order(names: Iterable[str], first: int, shares: tuple[float, float], seed: int) -> list[str]:
    """The order to measure songs in: `first` training songs, without which no run begins, then some of each part."""
    names = list(names)
    parts = split_songs(names, *shares, seed) if len(names) >= len(PARTS) else {"train": names}
    turns = zip_longest(*(hash_order(part, seed) for part in parts.values()))
    order = [name for turn in turns for name in turn if name is not None]
    return list(dict.fromkeys([*hash_order(parts["train"], seed)[:first], *order]))


def _place(name: str, seed: int) -> float:
    """A number in [0, 1) that a song's name and the seed decide."""
    digest = hashlib.sha256(f"{seed}/{composed(Path(name).as_posix())}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def choose(paths: list[str], count: int | None, seed: int | None) -> list[str]:
    """`count` of the paths picked at random without repetition (all of them if there are fewer), sorted."""
    if count is None or count >= len(paths):
        return paths
    picked = np.random.default_rng(seed).choice(len(paths), size=count, replace=False)
    return [paths[i] for i in sorted(picked)]
