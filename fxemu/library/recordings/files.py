"""Files of recordings: dry matched with wet, their sample rates, and one channel of each."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fxemu.audio.channels import in_channels, separate
from fxemu.audio.decoding import READ_SUFFIXES, opened
from fxemu.audio.resampling import Resampler
from fxemu.audio.source import AudioError
from fxemu.files import printable
from fxemu.library.songs import LibraryError, composed, is_apple_double

EMPTY, CANCELLED, ALIKE = 1e-4, 1e-2, 0.9  # peak, and amplitude of the mean, as shares; correlation of a stereo pair
Array = NDArray[np.float32]
Note = tuple[Literal["refused", "warning", "note"], str]


def match_files(dry: Path, wet: Path) -> list[tuple[Path, Path]]:
    """Pairs of paths: two files, or each file of folder `dry` with the one of its stem in folder `wet`.

    Raises:
        LibraryError: for a dry file without its wet, or for two files of one stem.
    """
    if not dry.is_dir():
        return [(dry, wet)]
    dries, wets = (_by_stem(folder) for folder in (dry, wet))
    missing = sorted(dries.keys() - wets.keys())
    if not dries:
        raise LibraryError(f"{printable(dry)}: holds no recordings; give a folder of audio files")
    if missing:
        names = ", ".join(map(printable, missing))
        raise LibraryError(f"{printable(wet)}: has no recording of {names}; names must be as in {printable(dry)}")
    return [(dries[name], wets[name]) for name in dries]


def unmatched_line(dry: Path, wet: Path) -> str | None:
    """The line on recordings in folder `wet` of which `dry` has none; None without any."""
    if not dry.is_dir():
        return None
    names = sorted(_by_stem(wet).keys() - _by_stem(dry).keys())
    shown = ", ".join(map(printable, names[:3])) + (" and others" if len(names) > 3 else "")
    return f"left out: {len(names)} recording(s) of {printable(wet)} without a dry file: {shown}" if names else None


def _by_stem(folder: Path) -> dict[str, Path]:
    """The audio files of a folder by stem, the name without suffix; LibraryError if two have the same."""
    sounding = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in READ_SUFFIXES]
    paths = [path for path in sounding if path.is_file() and not is_apple_double(str(path))]
    found = {composed(path.stem): path for path in paths}
    for path in paths:
        if (other := found[composed(path.stem)]) != path:
            both = f"{printable(path)} and {printable(other)}"
            raise LibraryError(f"{both}: names must differ before the suffix; rename one")
    return found


def common_rate(dry: Path, wet: Path) -> int:
    """The sample rate in Hz that most recordings have, the higher of two that are as frequent.

    Raises:
        LibraryError: as `match_files`.
        AudioError: for a file that cannot be read.
    """
    rates = []
    for pair in match_files(dry, wet):
        for path in pair:
            with opened(path) as source:
                rates.append(source.rate)
    counts = Counter(rates)
    return max(counts, key=lambda rate: (counts[rate], rate))


def read_side(side: str, path: Path, sample_rate: int, channel: int | None) -> tuple[Array, list[Note]]:
    """One channel of a file, or the mean of those that are not empty, at `sample_rate`; and notes on the choice.

    Args:
        side: "dry" or "wet", for the notes.
        path: of the file.
        sample_rate: in Hz.
        channel: 1 for the first, and so on; None for the mean.

    Raises:
        LibraryError: for a channel that the file does not have.
        AudioError: for a file that cannot be read, or with NaN or infinity in it.
    """
    with opened(path) as source:
        blocks = [in_channels(block, source.channels) for _, block in source.blocks(0, separate)]
        rate = source.rate
        damage = source.damage
    channels = np.concatenate(blocks, 1)
    if not np.isfinite(channels).all():
        raise AudioError(f"{printable(path)}: holds samples that are NaN or infinite")
    notes: list[Note] = [("warning", f"{side}: {damage}; the rest of it is used")] if damage else []
    if rate != sample_rate:
        notes.append(("note", f"{side} is at {rate} Hz: resampled to {sample_rate} Hz"))
    mono, choice = _mixed(side, path, channels, channel)
    resampler = Resampler(rate, sample_rate)
    return np.concatenate((resampler.process(mono), resampler.end())), [*notes, *choice]


def _mixed(side: str, path: Path, channels: Array, channel: int | None) -> tuple[Array, list[Note]]:
    """A channel of (channels, samples), or the mean of those that are not empty, and notes."""
    if channel is not None:
        if not 1 <= channel <= len(channels):
            raise LibraryError(f"{printable(path)}: {side}_channel={channel}: it has {len(channels)} channel(s)")
        return channels[channel - 1].copy(), []
    peaks = np.abs(channels).max(1, initial=0)
    full = peaks > EMPTY * peaks.max()
    if len(channels) == 1 or not full.any():
        return channels[0], []
    mean = channels[full].mean(0)
    notes: list[Note] = []
    if not full.all():
        empty = ", ".join(str(number + 1) for number in np.flatnonzero(~full))
        notes.append(("note", f"{side}: channel {empty} of {len(channels)} is empty: left out"))
    if full.sum() == 1:
        return mean, notes
    cure = f"choose one with effect.{side}_channel=1 or more"
    if np.sqrt(np.mean(mean**2)) < CANCELLED * np.sqrt(np.mean(channels[full] ** 2)):
        return mean, [*notes, ("refused", f"the channels of {side} cancel each other: {cure}")]
    if np.corrcoef(channels[full]).min() < ALIKE:
        return mean, [*notes, ("warning", f"the channels of {side} differ, and their mean is used: {cure}")]
    return mean, [*notes, ("note", f"{side} has {len(channels)} channels: their mean is used")]
