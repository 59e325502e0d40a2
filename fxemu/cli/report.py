"""`fxemu report RUN`: the page of a finished run, written anew and opened in the browser."""

from __future__ import annotations

import argparse
import webbrowser
from pathlib import Path

from fxemu.cli.errors import one_line_errors
from fxemu.evaluation.pages.run_page import write_run_page
from fxemu.evaluation.runs import RunError


@one_line_errors()
def main(arguments: list[str]) -> None:
    """`fxemu report RUN [--no-browser]`."""
    parser = argparse.ArgumentParser("fxemu report", description=__doc__)
    parser.add_argument("run", metavar="RUN", type=Path, help="a run folder")
    parser.add_argument("--no-browser", action="store_true", help="only write the page")
    given = parser.parse_args(arguments)
    try:
        path = write_run_page(given.run)
    except OSError as error:
        raise RunError(f"{given.run}: cannot be written ({error.strerror})") from error
    print(f"written: {path}")
    if not given.no_browser:
        webbrowser.open(path.resolve().as_uri())
