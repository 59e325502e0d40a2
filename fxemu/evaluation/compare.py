"""Finished runs side by side: seeds gathered, runs of one effect ranked, and what differs in few words."""

from __future__ import annotations

import inspect
import math
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import fxemu.effects
from fxemu.evaluation.runs import PASTS, QUIET, QUIET_DB, Run, flat_options

# Options in which two runs of one config differ, beside those of its loggers.
SEED_OPTIONS = ("seed", "resume")
# Options that are a class, told by its name alone.
CLASSES = ("model", "repr.input", "repr.output", "loss")
FEEDBACK, MAX_TIME = "model.feedback", "trainer.max_time"
# A path, which differs between machines where the songs are the same.
LIBRARY = "data.library"
# Sections of a config whose options explain a result, the most telling first; then all others.
SECTIONS = ("model", "repr", "loss", "training", "knobs", "effect", "data")
LONGEST_VALUE = 16  # characters of an option in a summary
LONGEST_ARGUMENT = 40  # characters of an effect's argument in a title


@dataclass(frozen=True)
class Column:
    """A score: its name, heading and format, and whether lower (-1) or higher (1) is better, or neither (0).

    `shown`: whether it is among the few that are shown at first.
    """

    score: str
    heading: str
    format: str
    better: int
    shown: bool = False


SCORES = (
    Column("esr", "ESR", ".2e", -1, shown=True),
    Column("realtime_factor", "x real time", ".0f", 1, shown=True),
    Column("multiply_adds", "mult-adds", ",.0f", -1, shown=True),
    Column("abx_right", "ABX right", ".0%", 0),
    Column("abx_p", "ABX p", ".3f", 0),
    Column("mushra", "MUSHRA", ".0f", 1),
    Column("mushra_interval", "MUSHRA +-", ".0f", 0),
    Column("mrstft", "MR-STFT", ".3f", -1),
    Column("esr_worst", "worst song", ".2e", -1),
    Column("esr_preemphasis", "ESR, pre-emphasis", ".2e", -1),
    Column("esr_a_weighted", "ESR, A-weighted", ".2e", -1),
    Column("esr_treble", "ESR, treble", ".2e", -1),
    Column("treble_level_db", "treble (dB)", "+.1f", 0),
    Column("nmae", "NMAE", ".2%", -1),
    Column(QUIET, f"ESR at {QUIET_DB:.0f} dB", ".2e", -1),
    Column("loudness_error_lu", "loudness (LU)", "+.2f", 0),
    Column(PASTS, "worst/best past", ".2f", -1),
    Column("divergences", "diverged", ".0f", -1),
    Column("parameters", "parameters", ",.0f", -1),
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


@dataclass(frozen=True)
class Row:
    """A config: its number in the task, its differing options, its runs and the one to listen to.

    `spreads` has (median, lowest, highest) of each score, `best` the scores in which no rival is better; `summary` is
    what differs, in few words: `gru, esr, 5 min`.
    """

    number: int
    options: dict[str, str]
    runs: tuple[Run, ...]
    typical: Run
    spreads: dict[str, tuple[float, float, float]]
    best: set[str]
    summary: str

    @property
    def name(self) -> str:
        """The folder's name, and how many runs there are of several seeds."""
        return self.typical.folder.name + (f" ({len(self.runs)} runs)" if len(self.runs) > 1 else "")


@dataclass(frozen=True)
class Task:
    """Rows that can be compared: the same effect, in words, sample rate and test songs."""

    effect: str
    title: str
    rows: list[Row]


def group_runs(runs: Iterable[Run]) -> list[Group]:
    """Gather the seeds of each config, and the configs with the same effect; the lowest ESR first."""
    by_config: dict[tuple, list[Run]] = {}
    for run in runs:
        options = tuple(sorted((k, v) for k, v in run.options.items() if not _is_seed(k)))
        by_config.setdefault((options, tuple(sorted(run.songs))), []).append(run)
    groups = [
        Group(dict(options), tuple(sorted(runs, key=lambda run: run.scores["esr"])))
        for (options, _), runs in by_config.items()
    ]
    return sorted(groups, key=lambda group: (task_of(group), statistics.median(group.values("esr"))))


def _is_seed(name: str) -> bool:
    return name in SEED_OPTIONS or name.split(".")[0] == "logger"


def task_of(group: Group) -> tuple:
    """Key of the runs whose scores can be compared: the effect, the sample rate and the test songs."""
    effect = tuple(sorted(item for item in group.options.items() if item[0].split(".")[0] == "effect"))
    return effect, group.options.get("data.sample_rate", ""), tuple(sorted(group.typical.songs))


def differing_options(groups: list[Group]) -> list[str]:
    """Names of the options with more than one value among the groups that have them, the task's own left out."""
    values: dict[str, set[str]] = {}
    for group in groups:
        for name, value in group.options.items():
            if name.split(".")[0] != "effect":
                values.setdefault(name, set()).add(value)
    return sorted((name for name, found in values.items() if len(found) > 1), key=_section)


def _section(name: str) -> int:
    section = name.split(".")[0]
    return SECTIONS.index(section) if section in SECTIONS else len(SECTIONS)


def tasks(groups: list[Group], in_full: bool = False) -> list[Task]:
    """The rows of the table, task by task, with the best of each score among the rows of a task.

    Args:
        groups: in order, see `group_runs`.
        in_full: whether summaries tell representation, loss and feedback also where all have the same.
    """
    names = differing_options(groups)
    by_task: dict[tuple, list[Group]] = {}
    for group in groups:
        by_task.setdefault(task_of(group), []).append(group)
    found = []
    for (effect, sample_rate, songs), members in by_task.items():
        words = _effect_in_words(effect)
        told = enumerate(zip(members, _summaries(members, in_full), strict=True), start=1)
        rows = [_row(number, group, members, names, summary) for number, (group, summary) in told]
        found.append(Task(words, _title(words, sample_rate, len(songs)), rows))
    return found


def _summaries(groups: list[Group], in_full: bool) -> list[str]:
    """Differences among groups, in few words for each: classes by name, the time, and what else tells them apart.

    An option is left out if those before it decide it, and where it has the value that most groups have. A group on
    its own is told by its classes, and so are all `in_full`, but for a model that they share.
    """
    names = [name for name in differing_options(groups) if name != LIBRARY]
    first = (CLASSES[0], FEEDBACK, *CLASSES[1:], MAX_TIME)
    alone = len(groups) == 1
    told = [name for name in first if name in names or alone or (in_full and name not in (CLASSES[0], MAX_TIME))]

    def values(group: Group, *more: str) -> tuple[str, ...]:
        return tuple(group.options.get(name, "") for name in (*told, *more))

    for name in names:
        if len({values(group, name) for group in groups}) > len({values(group) for group in groups}):
            told.append(name)
    usual = {name: _of_most([group.options.get(name, "") for group in groups]) for name in told}
    usual |= dict.fromkeys((*CLASSES, MAX_TIME)) | ({FEEDBACK: "true"} if alone or in_full else {})
    summaries = []
    for group in groups:
        options = {name: value for name, value in zip(told, values(group), strict=True) if value != usual[name]}
        summaries.append(", ".join(dict.fromkeys(_words(options))))
    return summaries


def _of_most(values: list[str]) -> str | None:
    """The value that more than half of them have, if there is one."""
    value, count = Counter(values).most_common(1)[0]
    return value if 2 * count > len(values) else None


def _words(options: dict[str, str]) -> Iterator[str]:
    """The words of a summary."""
    for name, value in options.items():
        if name == "repr.output" and options.get("repr.input") != value:
            yield f"{value.lower()} out"
        elif name == FEEDBACK and value in ("true", "false"):
            yield "feedback" if value == "true" else "no feedback"
        elif value not in ("", "null"):
            yield word(name, value)


def word(name: str, value: str) -> str:
    """An option as a word of a summary; of classes, and of names of option files, the value alone."""
    if name in CLASSES or ("." not in name and name in SECTIONS):
        return value.lower()
    if name == MAX_TIME:
        return _minutes(value)
    return f"{name.rsplit('.', 1)[-1]} {value if len(value) <= LONGEST_VALUE else value[: LONGEST_VALUE - 1] + '~'}"


def _minutes(max_time: str) -> str:
    """A time as days:hours:minutes:seconds in words."""
    try:
        days, hours, minutes, seconds = map(int, max_time.split(":"))
    except ValueError:
        return max_time
    whole = ((24 * days + hours) * 60 + minutes) * 60 + seconds
    return f"{whole / 60:.3g} min" if whole >= 60 else f"{whole} s"


def _effect_in_words(effect: tuple) -> str:
    name = dict(effect).get("effect", "effect unknown")
    usual = _defaults(name)
    told = [item for item in effect if "." in item[0] and usual.get(item[0]) != item[1]]
    arguments = ", ".join(f"{option.split('.', 1)[1]} {_end(value)}" for option, value in told)
    arguments = arguments.removeprefix(f"{name.lower()} ")
    return f"{name} ({arguments})" if arguments else name


def _title(effect: str, sample_rate: str, songs: int) -> str:
    return f"{effect}, {songs} test song{'s' if songs != 1 else ''} at {sample_rate} Hz"


def _defaults(effect: str) -> dict[str, str]:
    """Arguments that an effect has if none is given, as options of a config."""
    if effect not in fxemu.effects.__all__:
        return {}
    parameters = inspect.signature(getattr(fxemu.effects, effect)).parameters.values()
    return flat_options({"effect": {p.name: p.default for p in parameters if p.default is not p.empty}})


def _end(value: str) -> str:
    """The end of a long value, where paths and commands differ, from a slash on, and without the marks of a list."""
    text = re.sub(r'["\[\],]', "", value)
    if len(text) <= LONGEST_ARGUMENT:
        return text
    end = text[-LONGEST_ARGUMENT:]
    slash = re.search("/(?!/)", end)
    return f"~{end[slash.start() if slash else 0 :]}"


def _row(number: int, group: Group, rivals: list[Group], names: list[str], summary: str) -> Row:
    spreads = {}
    for column in SCORES:
        values = group.values(column.score)
        if values:
            spreads[column.score] = (statistics.median(values), min(values), max(values))
    best = {column.score for column in SCORES if _is_best(column, group, rivals)}
    options = {name: group.options.get(name, "") for name in names}
    return Row(number, options, group.runs, group.typical, spreads, best, summary)


def _is_best(column: Column, group: Group, rivals: list[Group]) -> bool:
    """Whether the median is the best of at least two, and not all are equal."""
    medians = [statistics.median(values) for rival in rivals if (values := rival.values(column.score))]
    own = group.values(column.score)
    if column.better == 0 or not own or len(set(medians)) < 2:
        return False
    return statistics.median(own) == (min if column.better < 0 else max)(medians) and math.isfinite(min(own))


def share_of_decades(value: float, values: Iterable[float]) -> float:
    """Where a positive value lies from the least (0) to the largest (1) of some, on a logarithmic scale."""
    logs = [math.log10(v) for v in values if 0 < v < math.inf]
    if not logs or max(logs) == min(logs) or not value > 0:
        return 0.0
    return min(1.0, (math.log10(min(value, 1e30)) - min(logs)) / (max(logs) - min(logs)))
