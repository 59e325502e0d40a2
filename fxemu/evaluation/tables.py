"""Tables of compared runs: for a terminal, as wide as that is, and as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable

from fxemu.evaluation.compare import SCORES, Column, Row, Task, share_of_decades
from fxemu.evaluation.runs import plain

BAR, LONGEST_NAME = 8, 20
Cell = Callable[[Task, Row], str]


def terminal_table(table: list[Task], width: int, block: str = "█") -> str:
    """Rows of at most `width` characters: name, error and its bar, speed, cost, what differs, and what more fits.

    A star marks the best of a task. A bar is the error from the least to the largest of its task, in decades; speed is
    seconds rendered in a second on one core, and cost the multiply-adds of a sample.
    """
    cells: list[tuple[str, Cell, bool]] = [
        ("no.", lambda task, row: str(row.number), True),
        ("run", lambda task, row: _shortened(plain(row.name), LONGEST_NAME), False),
        ("ESR", lambda task, row: _score(row, SCORES[0]), True),
        ("", lambda task, row: _bar(task, row, block), False),
        ("speed", lambda task, row: _short(row, "realtime_factor", "x"), True),
        ("cost", lambda task, row: _short(row, "multiply_adds", ""), True),
    ]
    used = _width(cells, table)
    # What differs has what is left, but for the columns that fit beside all of it.
    differs = [(row.summary or "-") for task in table for row in task.rows]
    room = max(12, width - used - 2)
    cells.append(("what differs", lambda task, row: _cut(row.summary or "-", room), False))
    used += 2 + min(room, max(map(len, [*differs, "what differs"])))
    for heading, cell in _further(table):
        more = 2 + _column_width(heading, cell, table)
        if used + more <= width:
            cells.append((heading, cell, True))
            used += more
    return "\n".join(_lines(cells, table, width))


def _further(table: list[Task]) -> list[tuple[str, Cell]]:
    """Columns for wide terminals, the most wanted first: the range over seeds, then the other scores."""
    rows = [row for task in table for row in task.rows]
    several: list[tuple[str, Cell]] = [("lowest and highest ESR", lambda task, row: _range(row))]
    scores = [column for column in SCORES[3:] if any(column.score in row.spreads for row in rows)]
    found: list[tuple[str, Cell]] = [
        (column.heading, lambda task, row, column=column: _score(row, column)) for column in scores
    ]
    return [*(several if any(len(row.runs) > 1 for row in rows) else []), *found]


def _lines(cells: list[tuple[str, Cell, bool]], table: list[Task], width: int) -> list[str]:
    widths = [_column_width(heading, cell, table) for heading, cell, _ in cells]

    def line(texts: list[str]) -> str:
        placed = (
            text.rjust(size) if right else text.ljust(size)
            for text, size, (_, _, right) in zip(texts, widths, cells, strict=True)
        )
        return "  ".join(placed).rstrip()

    lines = [line([heading for heading, _, _ in cells])]
    for task in table:
        lines.append(_cut(task.title, width))
        lines += [line([cell(task, row) for _, cell, _ in cells]) for row in task.rows]
    return lines


def _width(cells: list[tuple[str, Cell, bool]], table: list[Task]) -> int:
    return sum(_column_width(heading, cell, table) + 2 for heading, cell, _ in cells) - 2


def _column_width(heading: str, cell: Cell, table: list[Task]) -> int:
    return max(len(heading), *(len(cell(task, row)) for task in table for row in task.rows))


def _score(row: Row, column: Column) -> str:
    if column.score not in row.spreads:
        return "-"
    median = row.spreads[column.score][0]
    return format(median, column.format) + ("*" if column.score in row.best else "")


def _short(row: Row, score: str, unit: str) -> str:
    """A score in three digits, as 48k for 47,733."""
    if score not in row.spreads:
        return "-"
    value = row.spreads[score][0]
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if factor <= value < math.inf:
            value, unit = value / factor, prefix + unit
            break
    return (f"{value:.3g}" if value < 100 else f"{value:.0f}") + unit + ("*" if score in row.best else "")


def _range(row: Row) -> str:
    _, low, high = row.spreads["esr"]
    return f"{low:.2e} to {high:.2e}" if len(row.runs) > 1 else "-"


def _bar(task: Task, row: Row, block: str) -> str:
    errors = [other.spreads["esr"][0] for other in task.rows]
    share = share_of_decades(row.spreads["esr"][0], errors)
    return block * (1 + round((BAR - 1) * share)) if len(errors) > 1 else ""


def _shortened(text: str, longest: int) -> str:
    """A text with its middle left out where it is too long."""
    if len(text) <= longest:
        return text
    half = (longest - 1) // 2
    return f"{text[:half]}~{text[len(text) - (longest - 1 - half) :]}"


def _cut(text: str, longest: int) -> str:
    """A text with its end left out where it is too long."""
    return text if len(text) <= longest else f"{text[: longest - 1]}~"


def csv_table(names: list[str], table: list[Task]) -> str:
    """The same rows as CSV, each score with its median, lowest and highest, at full precision.

    Args:
        names: of the options in which they differ.
        table: the rows.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    scores = [f"{column.score}{part}" for column in SCORES for part in ("", "_low", "_high")]
    writer.writerow(["run", *map(_inert, names), "task", "runs", *scores, "folders"])
    for task in table:
        for row in task.rows:
            values = [v for column in SCORES for v in row.spreads.get(column.score, ("", "", ""))]
            folders = " ".join(plain(run.folder) for run in row.runs)
            options = map(_inert, row.options.values())
            writer.writerow(
                [
                    _inert(plain(row.typical.folder.name)),
                    *options,
                    _inert(task.title),
                    len(row.runs),
                    *values,
                    _inert(folders),
                ]
            )
    return text.getvalue()


def _inert(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    try:
        float(text)
    except ValueError:
        return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
    return text
