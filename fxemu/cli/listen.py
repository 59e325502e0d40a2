"""`fxemu listen RUN...`: a blind listening test of finished runs, as a page that opens in the browser."""

from __future__ import annotations

import argparse
import secrets
import webbrowser
from pathlib import Path

from fxemu.cli.errors import one_line_errors
from fxemu.evaluation.compare import group_runs, task_of
from fxemu.evaluation.pages.listen_page import listen_page
from fxemu.evaluation.runs import RunError, find_runs, read_run
from fxemu.files import write_whole


@one_line_errors()
def main(arguments: list[str]) -> None:
    """`fxemu listen RUN... [--output FILE]`."""
    parser = argparse.ArgumentParser("fxemu listen", description=__doc__)
    parser.add_argument("places", metavar="RUN", type=Path, nargs="+", help="a run folder, or one that holds runs")
    parser.add_argument("--output", type=Path, default=Path("outputs/listen.html"), help="the page (%(default)s)")
    parser.add_argument("--trials", type=int, default=20, help="of ABX for each run (%(default)s)")
    parser.add_argument("--songs", type=int, default=3, help="test songs to listen to (%(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each song, its loudest (%(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="decides the order; another each time if left out")
    parser.add_argument("--no-browser", action="store_true", help="only write the page")
    given = parser.parse_args(arguments)
    if given.songs < 1 or not 0.5 <= given.seconds <= 60 or not 0 <= given.trials <= 1000:
        raise RunError(
            f"--songs, --seconds and --trials: got {given.songs}, {given.seconds:g}, {given.trials}; at least 1, "
            "0.5 to 60, and 0 to 1000"
        )
    runs = [read_run(folder) for folder in find_runs(given.places)]
    if len({task_of(group) for group in group_runs(runs)}) > 1:
        raise RunError("these runs are of several effects or test songs; a listening test is of one")
    seed = secrets.randbelow(2**31) if given.seed is None else given.seed
    page = listen_page(runs, list(runs[0].songs)[: given.songs], given.seconds, given.trials, seed)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    write_whole(given.output, page.encode())
    print(f"written: {given.output}; its end saves a result for: fxemu compare RUN... --listening FILE")
    if not given.no_browser:
        webbrowser.open(given.output.resolve().as_uri())
