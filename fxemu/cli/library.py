"""`fxemu library`: measure a music library ahead of training, list it, and check that its files are still sound."""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterable

from tqdm import tqdm

from fxemu.cli.errors import one_line_errors
from fxemu.files import printable
from fxemu.library.index import Entry, Index, Selection, default_file
from fxemu.library.scan import measure_songs
from fxemu.library.songs import find_songs, list_songs, matching, song_name


@one_line_errors("\ninterrupted; what was measured is kept, and the same command continues from there")
def main(arguments: list[str]) -> None:
    """Run `scan`, `list` or `verify`; exit status 1 for a user's error, or if `verify` finds something."""
    options = _parser().parse_args(arguments)
    sound = options.run(options, Index(options.index))
    sys.exit(0 if sound else 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("fxemu library", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for run, purpose in (
        (scan, "measure what is new or changed, and sum up the library"),
        (print_songs, "print what is known of each song"),
        (verify, "decode every file again and compare it with the index"),
    ):
        command = commands.add_parser(run.__name__.replace("print_songs", "list"), help=purpose, description=purpose)
        command.set_defaults(run=run)
        command.add_argument("folder", help="of songs, with all below it")
        command.add_argument("--index", metavar="FILE", help=f"where the index is (default: {default_file()})")
        if run is print_songs:
            command.add_argument("--glob", default="*", help="by path below the folder, such as 'jazz/*.flac'")
            for name, unit in (("duration", "s"), ("loudness", "LUFS")):
                command.add_argument(f"--{name}", nargs=2, type=float, metavar=("LOWEST", "HIGHEST"), help=f"in {unit}")
            command.add_argument(
                "--tag",
                action="append",
                type=_tag,
                metavar="NAME=PATTERN",
                help="such as 'genre=*blues*'; may be repeated",
            )
        else:
            jobs = {"type": _jobs, "default": os.cpu_count(), "help": "files decoded at once (default: all cores)"}
            command.add_argument("--jobs", **jobs)
    return parser


def _tag(text: str) -> tuple[str, str]:
    name, equals, pattern = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"got {text!r}; must be NAME=PATTERN")
    return name, pattern


def _jobs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 256:
        raise argparse.ArgumentTypeError(f"got {text!r}; must be from 1 to 256")
    return int(text)


def _paths(folder: str) -> list[str]:
    return [os.path.abspath(path) for path in list_songs(folder)]


def _measured(index: Index, paths: list[str], jobs: int, afresh: bool = False) -> Iterable[Entry]:
    """An entry for each path, as `measure_songs` yields them, with a line of progress on standard error."""
    return tqdm(measure_songs(index, paths, jobs, afresh), total=len(paths), unit=" files", mininterval=1)


def scan(options: argparse.Namespace, index: Index) -> bool:
    """Bring the index up to date and print a summary."""
    songs, others = find_songs(options.folder)
    paths = [os.path.abspath(path) for path in songs]
    start = time.perf_counter()
    entries = list(_measured(index, paths, options.jobs))
    here = set(paths)
    gone = [entry.path for entry in index.below(options.folder) if entry.path not in here]
    for path in gone:
        index.forget(path)
    seconds = time.perf_counter() - start
    print(f"{len(paths)} file(s) looked at in {seconds:.1f} s, {len(gone)} gone; index: {index.file}")
    print(summary(entries))
    if others:
        print(others)
    return True


def print_songs(options: argparse.Namespace, index: Index) -> bool:
    """Print a line for each song that is in the index and selected."""
    bounds = (pair and tuple(pair) for pair in (options.duration, options.loudness))
    selection = Selection(*bounds, dict(options.tag or []))
    paths = [os.path.abspath(path) for path in matching(list_songs(options.folder), options.folder, options.glob)]
    entries = [entry for path in paths if (entry := index.known(path))]
    chosen = [entry for entry in entries if not entry.error and selection.matches(entry)]
    print(f"{'duration':>9}  {'rate':>6}  {'ch':>2}  {'codec':<10} {'peak dB':>7}  {'LUFS':>6}  {'silent':>6}  song")
    for entry in chosen:
        print(f"{_row(entry)}  {song_name(entry.path, options.folder)}")
    hours = sum(entry.duration_s for entry in chosen) / 3600
    print(f"{len(chosen)} of {len(paths)} file(s), {hours:.2f} hours")
    if len(entries) < len(paths):
        print(f"{len(paths) - len(entries)} not measured yet: `fxemu library scan {printable(options.folder)}`")
    return True


def _row(entry: Entry) -> str:
    minutes, seconds = divmod(round(entry.duration_s), 60)
    loudness = "" if entry.loudness_lufs is None else f"{entry.loudness_lufs:.1f}"
    return (
        f"{minutes:>6}:{seconds:02}  {entry.rate:>6}  {entry.channels:>2}  {entry.codec:<10} "
        f"{20 * math.log10(entry.peak):>7.1f}  {loudness:>6}  {entry.silence:>6.0%}"
    )


def verify(options: argparse.Namespace, index: Index) -> bool:
    """Decode every file again; print those that decode differently, or cannot be used."""
    paths = _paths(options.folder)
    before = {entry.path: entry for entry in index.below(options.folder)}
    after = _measured(index, paths, options.jobs, afresh=True)
    problems = {entry.path: why for entry in after if (why := _problem(before.get(entry.path), entry))}
    problems |= {path: "is gone" for path in before.keys() - set(paths)}
    for path, why in sorted(problems.items()):
        print(f"{printable(path)}: {why}")
    print(f"{len(paths)} file(s) decoded, {len(problems)} with problems")
    return not problems


def _problem(before: Entry | None, after: Entry) -> str | None:
    if after.error or after.damage:
        return after.error or after.damage
    if before is None or before == after:
        return None
    return (
        "has changed since it was measured"
        if before.signature != after.signature
        else "decodes differently than before"
    )


def summary(entries: Iterable[Entry]) -> str:
    """Hours, formats, rates and levels of the usable songs, then the files used in part or not at all, and why."""
    entries = sorted(entries, key=lambda entry: entry.path)
    usable = [entry for entry in entries if not entry.error]
    lines = [f"{len(usable)} usable song(s), {sum(e.duration_s for e in usable) / 3600:.2f} hours"]
    for title, values in (
        ("formats", [f"{os.path.splitext(e.path)[1].lower()[1:]} ({e.codec})" for e in usable]),
        ("rates", [f"{e.rate} Hz" for e in usable]),
        ("channels", [str(e.channels) for e in usable]),
    ):
        counts = (f"{count} x {value}" for value, count in Counter(values).most_common())
        lines.append(f"  {title:<10}{', '.join(counts)}")
    levels = [e.loudness_lufs for e in usable if e.loudness_lufs is not None]
    if levels:
        median = statistics.median(levels)
        lines.append(f"  loudness  {min(levels):.1f} to {max(levels):.1f} LUFS, median {median:.1f}")
    in_part, unusable = [e for e in usable if e.damage], [e for e in entries if e.error]
    for title, bad in (("used in part", in_part), ("unusable", unusable)):
        if bad:
            lines += [f"{len(bad)} {title}:", *(f"  {printable(e.path)}: {e.error or e.damage}" for e in bad)]
    return "\n".join(lines)
