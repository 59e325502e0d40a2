"""Prints the runs of `train.py -m study=representations`: the error on songs, and on quiet ones."""

from __future__ import annotations

import argparse
from collections import defaultdict

from tables.common import finished_runs

# A column each: the option of the effect, and the peak of the test songs in dBFS where it is not their own.
COLUMNS = (("distortion", None), ("lowpass", None), ("compressor", None), ("distortion", -48.0), ("lowpass", -60.0))


def run(options: argparse.Namespace) -> None:
    """Print a row a representation; the errors of all seeds in a cell."""
    errors: dict[tuple[str, str, float | None], list[str]] = defaultdict(list)
    for scores, _ in finished_runs("representations"):
        test = scores["test"]
        for level, esr in [(None, test["esr"]), *((level["level_db"], level["esr"]) for level in test["levels"])]:
            errors[scores["repr"], scores["effect"], level].append(f"{esr:.1e}")
    heads = (name if level is None else f"{name} at {level:g} dBFS" for name, level in COLUMNS)
    print(f"| `repr=` | {' | '.join(heads)} |\n|---|{'---|' * len(COLUMNS)}")
    for kind in sorted({kind for kind, *_ in errors}):
        cells = (", ".join(errors[kind, *column]) for column in COLUMNS)
        print(f"| `{kind}` | {' | '.join(cells)} |")
