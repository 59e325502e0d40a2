"""Recordings of an effect as aligned pairs: read, check and split them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from torch import Tensor

from fxemu.audio.decoding import READ_SUFFIXES
from fxemu.audio.tensors import decode, rate_and_channels
from fxemu.files import printable
from fxemu.library.pair import Pair
from fxemu.library.recordings.alignment import correct
from fxemu.library.recordings.checks import Finding, PairReport, check_pair, dropouts
from fxemu.library.songs import PARTS, LibraryError, composed, is_apple_double, split_songs


class RecordedEffect(Protocol):
    """Paths of recordings, two files or two folders, and the options of `effects.Recorded`."""

    dry: Path
    wet: Path
    flip: bool
    force: bool


def read_recordings(recorded: RecordedEffect, sample_rate: int) -> list[Pair]:
    """Read, check and align all pairs; reports go to standard error.

    Raises:
        LibraryError: for a dry file without its wet, for two files of one name, or, unless `recorded.force`, for a pair
            that is refused.
        AudioError: for a file that cannot be read.
    """
    recordings = []
    for dry_path, wet_path in match_files(recorded.dry, recorded.wet):
        dry, wet, report = examine(dry_path, wet_path, sample_rate)
        print(f"{dry_path} -> {wet_path}\n{report}", file=sys.stderr)
        if report.refused and not recorded.force:
            reasons = "; ".join(finding.text for finding in report.findings if finding.kind == "refused")
            raise LibraryError(f"{wet_path} is no recording to learn from: {reasons}. To use it anyway: force=true")
        recordings.append(aligned(printable(dry_path.name), dry, wet, report, sample_rate, recorded.flip))
    return recordings


def match_files(dry: Path, wet: Path) -> list[tuple[Path, Path]]:
    """Pairs of paths: two files, or each file of folder `dry` with the one of its stem in folder `wet`.

    Raises:
        LibraryError: for a dry file without its wet, or for two files of one stem.
    """
    if dry.is_file():
        return [(dry, wet)]
    dries, wets = (_by_stem(folder) for folder in (dry, wet))
    missing = sorted(dries.keys() - wets.keys())
    if not dries or missing:
        raise LibraryError(f"{wet}: has no recording of {', '.join(missing) or 'anything'}; names must be as in {dry}")
    return [(dries[name], wets[name]) for name in dries]


def _by_stem(folder: Path) -> dict[str, Path]:
    """The audio files of a folder by stem, the name without suffix; LibraryError if two have the same."""
    sounding = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in READ_SUFFIXES]
    paths = [path for path in sounding if path.is_file() and not is_apple_double(str(path))]
    found = {composed(path.stem): path for path in paths}
    for path in paths:
        if (other := found[composed(path.stem)]) != path:
            raise LibraryError(f"{path} and {other}: names must differ before the suffix; rename one")
    return found


def examine(dry_path: Path, wet_path: Path, sample_rate: int) -> tuple[Tensor, Tensor, PairReport]:
    """Read and check two files: both signals at `sample_rate`, and the report, which notes other rates and stereo."""
    (dry, _), (wet, _) = decode(dry_path, sample_rate), decode(wet_path, sample_rate)
    report = check_pair(dry, wet, sample_rate)
    notes = []
    for name, path in (("dry", dry_path), ("wet", wet_path)):
        rate, channels = rate_and_channels(path)
        if rate != sample_rate:
            notes.append(Finding("note", f"{name} is at {rate} Hz: resampled to {sample_rate} Hz"))
        if channels > 1:
            notes.append(Finding("note", f"{name} has {channels} channels: their mean is used"))
    return dry, wet, PairReport((*notes, *report.findings), report.alignment)


def aligned(name: str, dry: Tensor, wet: Tensor, report: PairReport, sample_rate: int, flip: bool = False) -> Pair:
    """The pair without latency and drift, cut to its longest stretch without a dropout.

    A pair that could not be aligned is only cut to equal length.
    """
    if report.alignment is None:
        samples = min(dry.numel(), wet.numel())
        return Pair(name, dry[:samples], wet[:samples])
    place = report.alignment
    first = max(0, round(-place.delay_samples))
    end = min(dry.numel(), int((wet.numel() - place.delay_samples) / (1 + place.drift_ppm * 1e-6)))
    first, end = longest_clean(first, max(first, end), dropouts(dry, wet, place, sample_rate))
    straight = correct(wet, place, dry.numel(), flip)
    return Pair(name, dry[first:end], straight[first:end])


def longest_clean(first: int, end: int, gaps: list[tuple[int, int]]) -> tuple[int, int]:
    """The longest stretch between `first` and `end` without a gap in it; gaps are in order and do not overlap."""
    inside = [(max(first, a), min(end, b)) for a, b in gaps if a < end and b > first]
    edges = [first, *(edge for gap in inside for edge in gap), end]
    return max(zip(edges[::2], edges[1::2], strict=True), key=lambda stretch: stretch[1] - stretch[0])


def split_recordings(
    recordings: Iterable[Pair], shortest: int, val_share: float, test_share: float, seed: int
) -> dict[str, list[Pair]]:
    """Split recordings into train, val and test: three or more by name, fewer in time, `shortest` samples apart.

    Those with fewer than `shortest` usable samples are left out, and named on standard error.

    Raises:
        LibraryError: if all recordings are too short, or one is too short to split.
    """
    recordings = _long_enough(list(recordings), shortest)
    named = {recording.name: recording for recording in recordings}
    if len(named) >= len(PARTS):
        names = split_songs(named, val_share, test_share, seed)
        return {part: [named[name] for name in names[part]] for part in PARTS}
    parts: dict[str, list[Pair]] = {part: [] for part in PARTS}
    for recording in recordings:
        for part, piece in _split_in_time(recording, shortest, val_share, test_share):
            parts[part].append(piece)
    return parts


def _long_enough(recordings: list[Pair], shortest: int) -> list[Pair]:
    """Those of `shortest` samples or more; LibraryError if there are none."""
    short = [recording for recording in recordings if recording.dry.numel() < shortest]
    listing = "\n".join(f"{r.name}: {r.dry.numel()} usable samples, of {shortest} that are needed" for r in short)
    if short and len(short) == len(recordings):
        raise LibraryError(f"{listing}; record for longer")
    if short:
        print(f"left out: {listing}", file=sys.stderr)
    return [recording for recording in recordings if recording.dry.numel() >= shortest]


def _split_in_time(recording: Pair, gap: int, val_share: float, test_share: float) -> list[tuple[str, Pair]]:
    """Train, val and test as stretches of one recording, `gap` samples apart."""
    total = recording.dry.numel() - 2 * gap
    lengths = {"val": int(val_share * total), "test": int(test_share * total)}
    lengths = {"train": total - sum(lengths.values()), **lengths}
    if min(lengths.values()) < gap:
        raise LibraryError(
            f"{recording.name}: {recording.dry.numel()} usable samples are too few to split in time into "
            f"train, val and test of {gap} or more each; record for longer"
        )
    pieces, start = [], 0
    for part in PARTS:
        stretch = slice(start, start + lengths[part])
        name = f"{Path(recording.name).stem}-{part}"
        pieces.append((part, Pair(name, recording.dry[stretch], recording.wet[stretch])))
        start = stretch.stop + gap
    return pieces
