"""`fxemu compare`: finished runs side by side, in the terminal, as CSV, and as an HTML page to listen to."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from fxemu.cli.errors import one_line_errors
from fxemu.evaluation.compare import differing_options, group_runs, tasks
from fxemu.evaluation.listening import read_result, with_listening
from fxemu.evaluation.pages.compare_page import compare_page
from fxemu.evaluation.runs import Run, RunError, find_runs, read_run
from fxemu.evaluation.tables import csv_table, terminal_table
from fxemu.files import write_whole


@one_line_errors()
def main(arguments: list[str]) -> None:
    """`fxemu compare RUN... [--output NAME]`."""
    parser = argparse.ArgumentParser("fxemu compare", description=__doc__)
    parser.add_argument("places", metavar="RUN", type=Path, nargs="+", help="a run folder, or one that holds runs")
    parser.add_argument("--output", type=Path, default=Path("outputs/compare"), help="less .csv, .html (%(default)s)")
    parser.add_argument("--songs", type=int, default=3, help="test songs with players (%(default)s)")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each song, its loudest (%(default)s)")
    parser.add_argument(
        "--listening", type=Path, nargs="+", default=[], metavar="FILE", help="results of `fxemu listen`, shown beside"
    )
    given = parser.parse_args(arguments)
    if not given.output.name:
        raise RunError(f"--output: got {given.output}; give a name, to which .csv and .html are added")
    if given.songs < 0 or not 0 < given.seconds <= 600:
        raise RunError(f"--songs and --seconds: got {given.songs}, {given.seconds:g}; at least 0, and 0 to 600")
    compare(given.places, given.output, given.songs, given.seconds, given.listening)


def compare(places: list[Path], output: Path, songs: int, seconds: float, listening: Sequence[Path] = ()) -> None:
    """Print the table of all runs in the places, and write it to `output` with .csv and .html added.

    Raises:
        RunError: if there is no finished run, or nothing can be written there.
    """
    runs = with_listening(_read_all(find_runs(places)), [read_result(path) for path in listening])
    groups = group_runs(runs)
    names, table = differing_options(groups), tasks(groups)
    print(terminal_table(table, shutil.get_terminal_size().columns, _block()))
    print("* the best of its effect and test songs; of several seeds the median")
    print("speed: times real time on one core; cost: multiply-adds a sample; what differs, in full: in the files")
    page, sheet = (output.with_name(f"{output.name}{suffix}") for suffix in (".html", ".csv"))
    _write(sheet, csv_table(names, table))
    _write(page, compare_page(names, table, songs, seconds, output.parent))
    print(f"written: {sheet} {page}")


def _block() -> str:
    """The character that bars are made of, where the terminal can show it."""
    try:
        "█~".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return "#"
    return "█"


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text.encode())
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror}); choose another place with --output") from error


def _read_all(folders: list[Path]) -> list[Run]:
    """The runs that can be read; the others are named on standard error."""
    runs = []
    for folder in folders:
        try:
            runs.append(read_run(folder))
        except RunError as error:
            print(f"skipped {error}", file=sys.stderr)
    if not runs:
        raise RunError(f"none of {len(folders)} run folder(s) is a finished run")
    return runs
