"""Settings of a box to dial in and record, as a table that a person follows: how they are chosen, ordered and kept."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fxemu.effects.knobs import spread_settings
from fxemu.files import printable, write_whole
from fxemu.models.knobs import Knob, KnobError, values

FEWEST, MOST = 6, 99
# Columns of a table beside the knobs.
FILE, SECONDS = "file", "seconds"


def parse_knobs(text: str) -> list[Knob]:
    """Knobs as the command line has them, such as `gain:0-10,tone:0-10`; KnobError for anything else."""
    number = r"(-?\d+(?:\.\d+)?)"
    found = [re.fullmatch(rf"\s*([^:]+):{number}-{number}\s*", word) for word in text.split(",")]
    if not all(found):
        raise KnobError(f"--knobs: got {printable(text)!r}; must be names with ranges, such as gain:0-10,tone:0-10")
    spans = [(match[1].strip(), float(match[2]), float(match[3])) for match in found if match]
    if len({FILE, SECONDS, *(name for name, *_ in spans)}) < 2 + len(spans):
        raise KnobError(f"--knobs: got {printable(text)!r}; names must differ, and be none of {FILE}, {SECONDS}")
    return [Knob(name, low, high, low) for name, low, high in spans]


def settings_to_record(knobs: Sequence[Knob], count: int) -> list[dict[str, float]]:
    """Settings by name, in the order to dial them in: corners and a Latin hypercube, in values of two digits.

    From all knobs at their lowest on, the next is always the one to which they turn the least.

    Raises:
        KnobError: for fewer than FEWEST or more than MOST.
    """
    if not FEWEST <= count <= MOST:
        raise KnobError(f"--settings: got {count}; must be from {FEWEST} to {MOST}")
    left = spread_settings(count, len(knobs), np.random.default_rng(0))
    at, chosen = torch.full((len(knobs),), -1.0), []
    while len(left):
        nearest = int((left - at).abs().sum(1).argmin())
        at, left = left[nearest], torch.cat((left[:nearest], left[nearest + 1 :]))
        chosen.append(_rounded(knobs, at))
    return chosen


def _rounded(knobs: Sequence[Knob], at: Tensor) -> dict[str, float]:
    exact = values(knobs, at)
    return {knob.name: min(knob.high, max(knob.low, float(f"{exact[knob.name]:.2g}"))) for knob in knobs}


def write_settings(
    path: Path, settings: Mapping[str, Mapping[str, float]], also: Mapping[str, float] | None = None
) -> None:
    """A CSV file of settings by the name of the file to play, or the recording; `also` is how long each is, in s."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([FILE, *next(iter(settings.values())), *([SECONDS] if also else [])])
    for name, setting in settings.items():
        table.writerow([name, *(f"{x:g}" for x in setting.values()), *([f"{also[name]:.0f}"] if also else [])])
    write_whole(path, text.getvalue().encode())


def read_settings(path: Path) -> dict[str, dict[str, float]]:
    """The settings in such a file, by file; KnobError for one that is damaged."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
        settings = {row[FILE]: {k: float(x) for k, x in row.items() if k not in (FILE, SECONDS)} for row in rows}
    except OSError as error:
        cure = "give with --file the table that fxemu capture make --knobs wrote"
        raise KnobError(f"{printable(path)}: {error.strerror}; {cure}") from error
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise KnobError(
            f"{printable(path)}: must be a CSV file with {FILE} and the names of the knobs above its columns"
        ) from error
    if not settings:
        raise KnobError(f"{printable(path)}: has no settings")
    return settings
