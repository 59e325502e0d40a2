"""`fxemu check-pair DRY WET`: check two recordings, or two folders of them, before training on them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fxemu.cli.errors import one_line_errors
from fxemu.effects import Recorded
from fxemu.files import printable
from fxemu.library.recordings.files import common_rate, match_files, unmatched_line
from fxemu.library.recordings.pairs import examine
from fxemu.library.songs import LibraryError


@one_line_errors()
def main(arguments: list[str]) -> None:
    """Print the findings; exit 1 if training would refuse a pair."""
    parser = argparse.ArgumentParser("fxemu check-pair", description=__doc__)
    parser.add_argument("dry", type=Path, help="what went into the effect: a file, or a folder of files")
    parser.add_argument("wet", type=Path, help="what came out: a file, or a folder with the same names")
    for side in ("dry", "wet"):
        parser.add_argument(f"--{side}-channel", type=int, help="of several: 1 for the first; default: their mean")
    given = parser.parse_args(arguments)
    refused = False
    for path in (given.dry, given.wet):
        if not path.exists():
            raise LibraryError(f"{printable(path)}: no such file or folder")
    if given.dry.is_dir() != given.wet.is_dir():
        raise LibraryError(f"{printable(given.dry)} and {printable(given.wet)}: must be two files or two folders")
    try:
        options = Recorded(str(given.dry), str(given.wet), dry_channel=given.dry_channel, wet_channel=given.wet_channel)
    except ValueError as error:
        raise LibraryError(str(error)) from error
    rate = common_rate(given.dry, given.wet)
    for dry, wet in match_files(given.dry, given.wet):
        report, _ = examine(dry, wet, rate, options)
        print(f"{printable(dry)} -> {printable(wet)}\n{report}")
        refused |= report.refused
    if line := unmatched_line(given.dry, given.wet):
        print(line)
    print("refused: training would need force=true" if refused else "fine to train on")
    sys.exit(int(refused))
