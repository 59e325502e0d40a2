"""The page of `fxemu compare`: tables that sort, the error against the cost, and players of the same songs."""

from __future__ import annotations

import io
import math
import os
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fxemu.evaluation.character import sound_in_words
from fxemu.evaluation.compare import SCORES, Column, Row, Task, share_of_decades
from fxemu.evaluation.listening import HEARD
from fxemu.evaluation.metrics import esr_db
from fxemu.evaluation.pages.html import SOUND_BYTES, data_url, render
from fxemu.evaluation.pages.run_page import PAGE
from fxemu.evaluation.pages.sounds import Sound, stretch
from fxemu.evaluation.plots import level_curves
from fxemu.evaluation.runs import plain

# Rows whose errors by level are drawn.
LEVEL_ROWS = 8
BAR_PIXELS = 90
# Rows that can be listened to; what a second of one takes at most, at 44.1 kHz in base64; the shortest stretch.
PLAYED, BYTES_A_SECOND, LEAST_SECONDS = 6, 118_000, 1.0
# Radius of a point in a chart, and width of a digit beside it, in pixels.
RADIUS, LETTER = 7, 8
# The cost in a chart: the first of these that runs have.
COSTS = ("multiply_adds", "parameters", "train_seconds")


@dataclass(frozen=True)
class Cell:
    """A cell: its text, the value to sort it by, a smaller line below, and how it looks."""

    text: str
    value: float | None = None
    note: str = ""
    best: bool = False
    number: bool = False
    bar: int | None = None
    link: str = ""


def compare_page(options: list[str], tasks: list[Task], songs: int, seconds: float, place: Path) -> str:
    """The page as HTML, everything in it but the pages of the runs, which it links to.

    Args:
        options: names of the options in which the configs differ.
        tasks: what to show.
        songs: test songs of each task that get players.
        seconds: of each song, around its loudest moment.
        place: the folder that the page is for.
    """
    present = [column for column in SCORES if column.shown or _had(column, tasks)]
    first = [column for column in present if column.shown or column.score in HEARD]
    rest = [column for column in present if column not in first]
    columns = [("no.", True), ("run", True), *((column.heading, True) for column in first), ("what differs", True)]
    columns += [(column.heading, False) for column in rest] + [(name, False) for name in options]
    share = SOUND_BYTES // max(1, len(tasks))
    sections = [
        {
            "title": task.title,
            "effect": task.effect,
            "id": f"task-{i}",
            "verdict": _verdict(task),
            "sound": "; ".join(sound_in_words(task.rows[0].typical)),
            "best": task.rows[0],
            "rows": [
                {"id": f"run-{i}-{row.number}", "cells": list(_cells(row, task, first, rest, place))}
                for row in task.rows
            ],
            "chart": _chart(task, i),
            "songs": list(_songs(task, songs, seconds, share)),
            "levels": _level_chart(task),
        }
        for i, task in enumerate(tasks)
    ]
    scripts = ("player.js", "compare.js")
    return render("compare.html", scripts, columns=columns, sections=sections, esr_db=esr_db)


def _had(column: Column, tasks: list[Task]) -> bool:
    return any(column.score in row.spreads for task in tasks for row in task.rows)


def _verdict(task: Task) -> str:
    """Which run is best, what it is, and by how much, in a sentence."""
    best, *others = task.rows
    errors_db = [esr_db(row.spreads["esr"][0]) for row in task.rows]
    verdict = f"{best.name} ({best.summary}): ESR {errors_db[0]:.1f} dB" if best.summary else best.name
    if not others:
        return verdict
    ahead = f"{errors_db[1] - errors_db[0]:.1f} dB better than no. 2 ({others[0].summary or others[0].name})"
    last = f", {errors_db[-1] - errors_db[0]:.0f} dB better than the last" if len(others) > 1 else ""
    return f"Best: {verdict}, {ahead}{last}"


def _cells(row: Row, task: Task, first: list[Column], rest: list[Column], place: Path) -> Iterator[Cell]:
    yield Cell(str(row.number), row.number, number=True)
    page = row.typical.folder / PAGE
    link = urllib.parse.quote(os.path.relpath(page.resolve(), place.resolve())) if page.is_file() else ""
    yield Cell(plain(row.name), link=link)
    errors = [other.spreads["esr"][0] for other in task.rows]
    for column in first:
        bar = round(BAR_PIXELS * (0.03 + 0.97 * share_of_decades(row.spreads["esr"][0], errors)))
        yield _score(row, column, bar if column.score == "esr" and len(errors) > 1 else None)
    yield Cell(row.summary or "-")
    yield from (_score(row, column) for column in rest)
    yield from map(Cell, row.options.values())


def _score(row: Row, column: Column, bar: int | None = None) -> Cell:
    if column.score not in row.spreads:
        return Cell("-", number=True)
    median, low, high = row.spreads[column.score]
    note = f"{low:{column.format}} to {high:{column.format}}" if low != high else ""
    value = min(median, 1e300)  # JavaScript writes infinity in another way
    text = f"{median:{column.format}}" + (f" ({esr_db(value):.1f} dB)" if column.score == "esr" else "")
    return Cell(text, value, note, column.score in row.best, number=True, bar=bar)


def _chart(task: Task, section: int) -> dict[str, Any] | None:
    """Error against cost on logarithmic axes, a point for each row; None for fewer than two."""
    cost = next((name for name in COSTS if all(name in row.spreads for row in task.rows)), None)
    rows = [(row, row.spreads[cost][0], row.spreads["esr"][0]) for row in task.rows] if cost else []
    rows = [row for row in rows if 0 < row[1] < math.inf and 0 < row[2] < math.inf]
    if len(rows) < 2:
        return None
    width, height, left, right, top, bottom = 1000, 340, 70, 980, 22, 290
    horizontal, vertical = (_Axis.of([row[i] for row in rows]) for i in (1, 2))
    places = [(horizontal.at(x, left, right), vertical.at(y, bottom, top)) for _, x, y in rows]
    labels = free_places(places, [len(str(row.number)) for row, _, _ in rows])
    return {
        **{"width": width, "height": height, "left": left, "right": right, "top": top, "bottom": bottom},
        "cost": next(column.heading for column in SCORES if column.score == cost),
        "horizontal": [{"at": horizontal.at(v, left, right), "label": f"{v:,.0f}"} for v in horizontal.ticks()],
        "vertical": [{"at": vertical.at(v, bottom, top), "label": f"{esr_db(v):.0f} dB"} for v in vertical.ticks()],
        "points": [
            {
                **{"id": f"run-{section}-{row.number}", "x": x, "y": y, "place": place, "number": row.number},
                "label": f"{row.number}: {row.summary or plain(row.name)}",
            }
            for (row, _, _), (x, y), place in zip(rows, places, labels, strict=True)
        ],
    }


def free_places(points: list[tuple[float, float]], letters: list[int]) -> list[tuple[float, float] | None]:
    """Where the labels of points stand, (left end, middle) in pixels, so that none overlaps; None where all is full.

    Args:
        points: (x, y) in pixels, the most important first.
        letters: of each label.
    """
    taken = [(x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS) for x, y in points]
    found: list[tuple[float, float] | None] = []
    for (x, y), count in zip(points, letters, strict=True):
        width = LETTER * count
        right, left, middle = x + RADIUS + 2, x - RADIUS - 2 - width, x - width / 2
        tried = [(right, y), (left, y), (middle, y - 15), (middle, y + 15), (right, y - 12), (right, y + 12)]
        boxes = [(start, centre - 6, start + width, centre + 6) for start, centre in tried]
        free = [box for box in boxes if not any(_overlap(box, other) for other in taken)]
        found.append((free[0][0], free[0][1] + 6) if free else None)
        taken += free[:1]
    return found


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


@dataclass(frozen=True)
class _Axis:
    """A logarithmic axis over whole decades."""

    low: int
    high: int

    @staticmethod
    def of(values: list[float]) -> _Axis:
        low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        return _Axis(low, max(high, low + 1))

    def at(self, value: float, start: float, end: float) -> float:
        return round(start + (end - start) * (math.log10(value) - self.low) / (self.high - self.low), 1)

    def ticks(self) -> list[float]:
        return [10.0**decade for decade in range(self.low, self.high + 1, 1 + (self.high - self.low) // 8)]


def _level_chart(task: Task) -> str | None:
    """ESR against input level, a line for each of the first rows by its number; None if no run has it."""
    rows = [row for row in task.rows if row.typical.levels][:LEVEL_ROWS]
    if not rows:
        return None
    data = io.BytesIO()
    curves = {str(row.number): dict(sorted(row.typical.levels.items())) for row in rows}
    level_curves(curves).savefig(data, format="png", dpi=80)
    return data_url("image/png", data.getvalue())


def _songs(task: Task, songs: int, seconds: float, most_bytes: int) -> Iterator[tuple[str, list[Sound]]]:
    """Target, the first rows' predictions and dry: the same stretch of each song, as much of it as the bytes allow.

    Where there are few bytes there are fewer songs of shorter stretches, but always predictions to compare.
    """
    first = task.rows[0].typical
    least = BYTES_A_SECOND * min(seconds, LEAST_SECONDS)
    played = task.rows[: max(1, min(PLAYED, int(most_bytes / least) - 1))]
    songs = max(1, min(songs, int(most_bytes / least / (len(played) + 1))))
    seconds = min(seconds, most_bytes / songs / (len(played) + 1) / BYTES_A_SECOND)
    for song in list(first.songs)[:songs]:
        files = {"target": (first.folder, "target")}
        files |= {
            f"{row.number}: {row.summary or plain(row.name)}": (row.typical.folder, "prediction") for row in played
        }
        found = stretch(files | {"dry": (first.folder, "dry")}, song, seconds)
        sounds = found.sounds(most_bytes // songs) if found else []
        if sounds:
            yield song, sounds
