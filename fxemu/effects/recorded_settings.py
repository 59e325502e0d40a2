"""Settings of recordings: where the knobs stood, from a `knobs.csv` beside the files, or from their names."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from fxemu.files import printable
from fxemu.library.songs import composed
from fxemu.models.knobs import Knob, KnobError, positions

TABLE = "knobs.csv"


def positions_of(recordings: Sequence[tuple[Path, Path]], knobs: Sequence[Knob]) -> list[Tensor]:
    """Positions (K,) of the knobs in each recording, given as paths of dry and wet.

    Values are those of the table, a row a recording by its name (`file`) and a column a knob, in the folder of the
    recordings or the one above; without a table those in the names of the files, such as `gain_0.25`.

    Raises:
        KnobError: for a missing value, one out of range, or a knob that stands at the same value in all recordings.
    """
    dry, wet = recordings[0]
    tables = [folder / TABLE for folder in (dry.parent, wet.parent, dry.parent.parent)]
    table = next((_read(path) for path in tables if path.is_file()), None)
    settings = [_setting(paths, table, knobs) for paths in recordings]
    for knob in knobs:
        values = {setting[knob.name] for setting in settings}
        if len(values) == 1:
            raise KnobError(f"knobs.{knob.name}: stands at {values.pop():g} in every recording; leave it out")
    return [positions(knobs, setting) for setting in settings]


def _setting(
    paths: tuple[Path, Path], table: Mapping[str, Mapping[str, str]] | None, knobs: Sequence[Knob]
) -> dict[str, float]:
    if table is None:
        words = {knob.name: _named(paths, knob.name) for knob in knobs}
    else:
        words = table.get(composed(paths[0].stem), {})
    try:
        return {knob.name: float(words[knob.name]) for knob in knobs}
    except (KeyError, TypeError, ValueError):
        name, listed = printable(paths[0].name), ", ".join(knob.name for knob in knobs)
        how = f"{TABLE} must have a row for it" if table is not None else f"give {TABLE}, or names such as gain_0.25"
        raise KnobError(f"{name}: has no setting of {listed}; {how}") from None


def _named(paths: tuple[Path, Path], knob: str) -> str | None:
    """The number after the knob's name in the name of a file."""
    pattern = re.compile(rf"(?<![A-Za-z0-9]){re.escape(knob)}[_=-]?(-?\d+(?:\.\d+)?)(?![A-Za-z0-9.])", re.IGNORECASE)
    found = [match[1] for path in reversed(paths) if (match := pattern.search(path.stem))]
    return found[0] if found else None


def _read(path: Path) -> dict[str, dict[str, str]]:
    """The rows of a table by the stem of their file."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
        return {composed(Path(row["file"]).stem): row for row in rows}
    except (KeyError, TypeError, UnicodeDecodeError, csv.Error) as error:
        header = "file and the names of knobs above its columns"
        raise KnobError(f"{printable(path)}: must be a CSV file with {header}") from error
