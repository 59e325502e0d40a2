"""`fxemu look DRY WET`: say in a sentence what kind of box makes the wet of the dry recording."""

from __future__ import annotations

import argparse
import io
from pathlib import Path

from fxemu.cli.errors import one_line_errors
from fxemu.effects import Recorded
from fxemu.evaluation.diagnosis import diagnose
from fxemu.evaluation.diagnosis.picture import picture
from fxemu.files import printable, write_whole
from fxemu.library.recordings.files import common_rate, match_files
from fxemu.library.recordings.pairs import examine
from fxemu.library.songs import LibraryError

LEAST_S = 3.0  # of a stretch


@one_line_errors()
def main(arguments: list[str]) -> None:
    """Print the findings on each pair that concern time and noise, and what the box is."""
    parser = argparse.ArgumentParser("fxemu look", description=__doc__)
    parser.add_argument("dry", type=Path, help="what went into the box: a file, or a folder of files")
    parser.add_argument("wet", type=Path, help="what came out: a file, or a folder with the same names")
    parser.add_argument("--picture", type=Path, help="where to draw the first pair: a PNG file")
    given = parser.parse_args(arguments)
    for path in (given.dry, given.wet):
        if not path.exists():
            raise LibraryError(f"{printable(path)}: no such file or folder")
    if given.dry.is_dir() != given.wet.is_dir():
        raise LibraryError(f"{printable(given.dry)} and {printable(given.wet)}: must be two files or two folders")
    rate, drawn = common_rate(given.dry, given.wet), given.picture
    for dry, wet in match_files(given.dry, given.wet):
        report, stretches = examine(dry, wet, rate, Recorded(str(given.dry), str(given.wet)))
        print(f"{printable(dry)} -> {printable(wet)}")
        longest = max(stretches, key=lambda pair: pair.dry.numel(), default=None)
        if report.alignment is None or longest is None or longest.dry.numel() < LEAST_S * rate:
            print(f"{report}\n  needs {LEAST_S:g} s of both that can be aligned")
            continue
        if not longest.wet.any():
            print(f"{report}\n  wet is silent")
            continue
        found = diagnose(longest.dry, longest.wet, rate)
        print(found)
        print("\n".join(str(f) for f in report.findings if "latency" in f.text or "noise" in f.text or report.refused))
        if drawn is not None:
            drawing = io.BytesIO()
            picture(found.taps, longest.dry, longest.wet, rate).savefig(drawing, format="png", dpi=110)
            write_whole(drawn, drawing.getvalue())
            drawn = None
