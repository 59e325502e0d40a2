"""Tables of finished runs side by side: in the terminal, and as CSV."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from fxemu.evaluation.page import Column, Row, Task
from fxemu.evaluation.runs import PASTS, QUIET, QUIET_DB, Run, plain

# Options in which two runs of one config differ.
SEED_OPTIONS = ("seed", "resume")
# Score, heading, format, and whether lower (-1) or higher (1) is better; 0 is not compared.
SCORES = (
    Column("esr", "ESR", ".2e", -1),
    Column("esr_worst", "worst song", ".2e", -1),
    Column("nmae", "NMAE", ".2%", -1),
    Column("mrstft", "MR-STFT", ".3f", -1),
    Column(QUIET, f"ESR at {QUIET_DB:.0f} dB", ".2e", -1),
    Column(PASTS, "worst/best past", ".2f", -1),
    Column("divergences", "diverged", ".0f", -1),
    Column("realtime_factor", "x real time", ".0f", 1),
    Column("multiply_adds", "mult-adds", ".0f", -1),
    Column("parameters", "parameters", ".0f", -1),
    Column("train_seconds", "training (s)", ".0f", 0),
)


@dataclass(frozen=True)
class Group:
    """Runs of one config that differ in their seed only, in order of their ESR."""

    options: dict[str, str]
    runs: tuple[Run, ...]

    @property
    def typical(self) -> Run:
        """The run with the median ESR (the better of the middle two)."""
        return self.runs[(len(self.runs) - 1) // 2]

    def values(self, score: str) -> list[float]:
        return [run.scores[score] for run in self.runs if score in run.scores]


def group_runs(runs: Iterable[Run]) -> list[Group]:
    """Gather the seeds of each config, and the configs with the same effect; the lowest ESR first."""
    by_config: dict[tuple, list[Run]] = {}
    for run in runs:
        options = tuple(sorted((k, v) for k, v in run.options.items() if k not in SEED_OPTIONS))
        by_config.setdefault((options, tuple(sorted(run.songs))), []).append(run)
    groups = [
        Group(dict(options), tuple(sorted(runs, key=lambda run: run.scores["esr"])))
        for (options, _), runs in by_config.items()
    ]
    return sorted(groups, key=lambda group: (task_of(group), statistics.median(group.values("esr"))))


def task_of(group: Group) -> tuple:
    """Key of the runs whose scores can be compared: the effect, the sample rate and the test songs."""
    effect = tuple(sorted(item for item in group.options.items() if item[0].split(".")[0] == "effect"))
    return effect, group.options.get("data.sample_rate", ""), tuple(sorted(group.typical.songs))


def differing_options(groups: list[Group]) -> list[str]:
    """Names of the options with more than one value among the groups that have them, the task's own left out."""
    names = dict.fromkeys(name for group in groups for name in group.options if name.split(".")[0] != "effect")
    return [name for name in names if len({g.options[name] for g in groups if name in g.options}) > 1]


def tasks(groups: list[Group]) -> list[Task]:
    """The rows of the table, task by task, with the best of each score among the rows of a task."""
    names = differing_options(groups)
    by_task: dict[tuple, list[Group]] = {}
    for group in groups:
        by_task.setdefault(task_of(group), []).append(group)
    return [
        Task(_title(key), [_row(number, group, members, names) for number, group in enumerate(members, start=1)])
        for key, members in by_task.items()
    ]


def _title(task: tuple) -> str:
    effect, sample_rate, songs = task
    arguments = ", ".join(f"{name.split('.', 1)[1]} {value}" for name, value in effect if "." in name)
    name = dict(effect).get("effect", "effect unknown")
    return f"{name}{f' ({arguments})' if arguments else ''}, {len(songs)} test songs at {sample_rate} Hz"


def _row(number: int, group: Group, rivals: list[Group], names: list[str]) -> Row:
    spreads = {}
    for column in SCORES:
        values = group.values(column.score)
        if values:
            spreads[column.score] = (statistics.median(values), min(values), max(values))
    best = {column.score for column in SCORES if _is_best(column, group, rivals)}
    return Row(number, {name: group.options.get(name, "") for name in names}, group.runs, group.typical, spreads, best)


def _is_best(column: Column, group: Group, rivals: list[Group]) -> bool:
    """Whether the median is the best of at least two, and not all are equal."""
    medians = [statistics.median(values) for rival in rivals if (values := rival.values(column.score))]
    own = group.values(column.score)
    if column.better == 0 or not own or len(set(medians)) < 2:
        return False
    return statistics.median(own) == (min if column.better < 0 else max)(medians) and math.isfinite(min(own))


def terminal_table(names: list[str], table: list[Task]) -> str:
    """Aligned columns; a star marks the best of a task, and brackets hold the range over several seeds."""
    columns = [c for c in SCORES if any(c.score in row.spreads for task in table for row in task.rows)]
    header = [*names, "runs", *(column.heading for column in columns), "folder"]
    lines: list[list[str] | str] = [header]
    for task in table:
        lines.append(task.title)
        for row in task.rows:
            cells = [_cell(row, column, with_range=column.score == "esr") for column in columns]
            lines.append(
                [
                    *(value or "-" for value in row.options.values()),
                    str(len(row.runs)),
                    *cells,
                    plain(row.typical.folder.name),
                ]
            )
    widths = [max(len(line[i]) for line in lines if isinstance(line, list)) for i in range(len(header))]
    return "\n".join(
        line if isinstance(line, str) else "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _cell(row: Row, column: Column, with_range: bool) -> str:
    if column.score not in row.spreads:
        return "-"
    median, low, high = row.spreads[column.score]
    text = format(median, column.format) + ("*" if column.score in row.best else "")
    spread = f" [{low:{column.format}} {high:{column.format}}]" if with_range and len(row.runs) > 1 else ""
    return text + spread


def csv_table(names: list[str], table: list[Task]) -> str:
    """The same rows as CSV, each score with its median, lowest and highest, at full precision."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    scores = [f"{column.score}{part}" for column in SCORES for part in ("", "_low", "_high")]
    writer.writerow([*map(_inert, names), "task", "runs", *scores, "folders"])
    for task in table:
        for row in task.rows:
            values = [v for column in SCORES for v in row.spreads.get(column.score, ("", "", ""))]
            folders = " ".join(plain(run.folder) for run in row.runs)
            writer.writerow(
                [*map(_inert, row.options.values()), _inert(task.title), len(row.runs), *values, _inert(folders)]
            )
    return text.getvalue()


def _inert(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    try:
        float(text)
    except ValueError:
        return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
    return text
