"""`fxemu check-pair DRY WET`: check two recordings, or two folders of them, before training on them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fxemu.audio.tensors import rate_and_channels
from fxemu.cli.errors import one_line_errors
from fxemu.library.recordings.pairs import examine, match_files
from fxemu.library.songs import LibraryError


@one_line_errors()
def main(arguments: list[str]) -> None:
    """Print the findings; exit 1 if training would refuse a pair."""
    parser = argparse.ArgumentParser("fxemu check-pair", description=__doc__)
    parser.add_argument("dry", type=Path, help="what went into the effect: a file, or a folder of files")
    parser.add_argument("wet", type=Path, help="what came out: a file, or a folder with the same names")
    given = parser.parse_args(arguments)
    refused = False
    for path in (given.dry, given.wet):
        if not path.exists():
            raise LibraryError(f"{path}: no such file or folder")
    if given.dry.is_dir() != given.wet.is_dir():
        raise LibraryError(f"{given.dry} and {given.wet}: must be two files or two folders")
    for dry, wet in match_files(given.dry, given.wet):
        *_, report = examine(dry, wet, rate_and_channels(dry)[0])
        print(f"{dry} -> {wet}\n{report}")
        refused |= report.refused
    print("refused: training would need force=true" if refused else "fine to train on")
    sys.exit(int(refused))
