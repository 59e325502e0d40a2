"""Recordings of an effect as aligned pairs: read, check and cut them into stretches."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from fxemu.files import printable
from fxemu.library.pair import Pair
from fxemu.library.recordings.alignment import correct
from fxemu.library.recordings.checks import Finding, PairReport, check_pair
from fxemu.library.recordings.files import match_files, read_side, unmatched_line
from fxemu.library.recordings.gaps import Gap, dropouts
from fxemu.library.recordings.silence import silences
from fxemu.library.songs import LibraryError

LEAST_S = 1.0  # of usable audio in a pair
Stretches = dict[str, list[Pair]]


class RecordedEffect(Protocol):
    """Paths of recordings, two files or two folders, and the options of `effects.Recorded`."""

    dry: Path
    wet: Path
    flip: bool
    force: bool
    dry_channel: int | None
    wet_channel: int | None

    def positions(self, recordings: Sequence[tuple[Path, Path]]) -> Sequence[Tensor | None]:
        """Positions (K,) of the knobs in each recording, given as paths of dry and wet; None without knobs."""


def read_recordings(recorded: RecordedEffect, sample_rate: int) -> Stretches:
    """Read, check and align all pairs: the usable stretches of each by its name; reports go to standard error.

    Raises:
        UserError: for a recording without a setting of the knobs, if the effect has some.
        LibraryError: for a dry file without its wet, for two files of one name, or, unless `recorded.force`, for a pair
            that is refused.
        AudioError: for a file that cannot be read.
    """
    recordings = {}
    if line := unmatched_line(recorded.dry, recorded.wet):
        print(line, file=sys.stderr)
    matched = match_files(recorded.dry, recorded.wet)
    for paths, at in zip(matched, recorded.positions(matched), strict=True):
        report, stretches = examine(*paths, sample_rate, recorded, alike=at is not None)
        print(f"{printable(paths[0])} -> {printable(paths[1])}\n{report}", file=sys.stderr)
        if report.refused and not recorded.force:
            reasons = "; ".join(finding.text for finding in report.findings if finding.kind == "refused")
            fault = f"{printable(paths[1])} is no recording to learn from: {reasons}"
            raise LibraryError(f"{fault}. To use it anyway: force=true")
        recordings[printable(paths[0].name)] = [replace(pair, knobs=at) for pair in stretches]
    if len(recordings) > 1:
        seconds = sum(pair.dry.numel() for pairs in recordings.values() for pair in pairs) / sample_rate
        print(f"{seconds:.1f} s of {len(recordings)} recordings are used", file=sys.stderr)
    return recordings


def examine(
    dry_path: Path, wet_path: Path, sample_rate: int, options: RecordedEffect, alike: bool = False
) -> tuple[PairReport, list[Pair]]:
    """Read and check two files: the report, which notes other rates and channels, and the stretches to train on.

    `alike`: one of several settings of a box, of whose delays the same must be left, to a fraction of a sample.
    """
    sides = {"dry": (dry_path, options.dry_channel), "wet": (wet_path, options.wet_channel)}
    read = {side: read_side(side, path, sample_rate, channel) for side, (path, channel) in sides.items()}
    dry, wet = (torch.from_numpy(samples) for samples, _ in read.values())
    notes = [Finding(*note) for _, choice in read.values() for note in choice]
    if dry_path.samefile(wet_path) and options.dry_channel == options.wet_channel:
        text = "dry and wet are the same file: name two, or for its two sides effect.dry_channel=1 effect.wet_channel=2"
        return PairReport((*notes, Finding("refused", text)), None), cut(
            printable(dry_path.name), dry, wet, None, sample_rate
        )
    report = check_pair(dry, wet, sample_rate)
    if alike and report.alignment is not None:
        place = report.alignment.at_peak()
        text = f"as one of several settings it is moved by {place.delay_samples:.2f} samples"
        report = PairReport((*report.findings, Finding("note", text)), place)
    stretches = cut(printable(dry_path.name), dry, wet, report, sample_rate, options.flip)
    return PairReport((*notes, *report.findings, *_usable(stretches, dry, sample_rate)), report.alignment), stretches


def _usable(stretches: list[Pair], dry: Tensor, sample_rate: int) -> list[Finding]:
    """The finding on the seconds that can be trained on."""
    seconds, total = sum(pair.dry.numel() for pair in stretches) / sample_rate, dry.numel() / sample_rate
    where = f", in {len(stretches)} stretches" if len(stretches) > 1 else ""
    if seconds < min(LEAST_S, 0.9 * total):
        return [Finding("refused", f"{seconds:.1f} of {total:.1f} s can be used{where}: too little; record it again")]
    return [Finding("note", f"{seconds:.1f} of {total:.1f} s are used{where}")]


def cut(
    name: str, dry: Tensor, wet: Tensor, report: PairReport | None, sample_rate: int, flip: bool = False
) -> list[Pair]:
    """The pair without latency and drift, as stretches between dropouts, less the silence at its ends and long silence.

    A pair that could not be aligned is only cut to equal length.
    """
    if report is None or report.alignment is None:
        samples = min(dry.numel(), wet.numel())
        return [Pair(name, dry[:samples], wet[:samples])]
    place = report.alignment
    first = max(0, round(-place.delay_samples))
    end = min(dry.numel(), int((wet.numel() - place.delay_samples) / (1 + place.drift_ppm * 1e-6)))
    straight = correct(wet, place, dry.numel(), flip)
    silent = silences(Pair(name, dry[first:end], straight[first:end]), sample_rate)
    gaps = [*dropouts(dry, wet, place, sample_rate), *((first + start, first + stop) for start, stop in silent)]
    edges = clean(first, max(first, end), sorted(gaps))
    return [Pair(name, dry[start:stop], straight[start:stop]) for start, stop in edges]


def clean(first: int, end: int, gaps: list[Gap]) -> list[Gap]:
    """The stretches between `first` and `end` without a gap in them; gaps are in order."""
    stretches = []
    for start, stop in [*gaps, (end, end)]:
        if first < min(start, end):
            stretches.append((first, min(start, end)))
        first = max(first, stop)
    return stretches
