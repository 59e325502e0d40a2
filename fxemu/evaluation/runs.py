"""Reading run folders: their configs and scores as plain data, with nothing in them trusted or unpickled."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fxemu.errors import UserError
from fxemu.evaluation.scores import NAMES
from fxemu.files import parse_json, read_at_most

CONFIG, METRICS = "config.yaml", "metrics.json"
LARGEST_BYTES = 4_000_000  # of a file of a run or a listening test; ours are a few kilobytes
# The ESR at a low input level, beside the names in `scores.NAMES`.
QUIET, QUIET_DB = "esr_quiet", -48.0
# Contraction of the model: its error after the worst past over that after the best (`PastScores`).
PASTS = "worst_over_best"
LONGEST_TEXT = 200  # characters of an option, longer than any of ours


class RunError(UserError):
    """A folder that is no finished run; the message names it and says what is wrong."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    Args:
        folder: where it is.
        options: its config, flat: dotted names to values as text; a `_target_` is named by its section.
        scores: numbers by name, those of `scores.NAMES`, QUIET and PASTS that the run has. A NaN is infinite here:
            worse than any.
        levels: ESR by input level in dBFS; empty for a run from before there was one.
        songs: ESR by name of each test song.
        warnings: of the report, in sentences.
        box: what the effect is, in a sentence (None: nothing was said).
    """

    folder: Path
    options: dict[str, str]
    scores: dict[str, float]
    levels: dict[float, float]
    songs: dict[str, float]
    warnings: tuple[str, ...] = ()
    box: str | None = None


def find_runs(places: Iterable[Path]) -> list[Path]:
    """The run folders among the places and anywhere below them, each once.

    Raises:
        RunError: for a place that does not exist, or if there is no run at all.
    """
    places = list(places)
    folders: dict[Path, None] = {}
    for place in places:
        if not place.is_dir():
            raise RunError(f"{plain(place)}: no such folder; give run folders, or a folder that holds some")
        # Hydra keeps files of the same name in `.hydra`, which are no runs.
        configs = [path for path in sorted(place.rglob(CONFIG)) if ".hydra" not in path.parts]
        folders |= dict.fromkeys(path.parent.resolve() for path in configs if not _of_a_race(path, place))
    if not folders:
        raise RunError(f"{', '.join(map(plain, places))}: no run in it or below it; a run folder holds a {CONFIG}")
    return list(folders)


def _of_a_race(config: Path, place: Path) -> bool:
    """Whether a config below a place is that of a candidate, in the folder `race` of a run."""
    below = [config.parents[i] for i in range(len(config.relative_to(place).parts) - 1)]
    return any(folder.name == "race" and (folder.parent / CONFIG).is_file() for folder in below)


def read_run(folder: Path) -> Run:
    """A run's config and scores.

    Raises:
        RunError: if either file is missing, too large, malformed, or holds no free-run ESR.
    """
    try:
        config = yaml.load(read_at_most(folder / CONFIG, LARGEST_BYTES), _Loader)
        metrics = parse_json(read_at_most(folder / METRICS, LARGEST_BYTES))
        return _checked(folder, config, metrics)
    except FileNotFoundError as error:
        raise RunError(f"{plain(folder)}: no {Path(error.filename).name}: not finished") from error
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        OverflowError,
        RecursionError,
        yaml.YAMLError,
    ) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunError(f"{plain(folder)}: broken: {plain(reason)}") from error


def plain(value: Any) -> str:
    """A value as short text without control characters, fit for a terminal."""
    text = (
        value if isinstance(value, str) else str(value) if isinstance(value, Path) else json.dumps(value, default=str)
    )
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 3]}..."


class _Loader(yaml.SafeLoader):
    """YAML without aliases, of which a small file could make endless data."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed in a run's config")
        return super().compose_node(parent, index)


def _checked(folder: Path, config: Any, metrics: Any) -> Run:
    for name, content in ((CONFIG, config), (METRICS, metrics)):
        if not isinstance(content, dict):
            raise ValueError(f"{name} is no mapping")
    test = metrics.get("test")
    if not isinstance(test, dict) or not _is_number(test.get("esr")):
        raise ValueError(f"{METRICS} has no free-run ESR (test.esr)")
    levels = {_number(level["level_db"]): _number(level["esr"]) for level in test.get("levels", [])}
    songs = {_file_name(song["name"]): _number(song["esr"]) for song in test.get("songs", [])}
    contraction, knobs = test.get("contraction") or {}, test.get("knobs") or {}
    pasts = contraction.get("model", {})
    warnings = (test.get("outdone"), test.get("drowned"), knobs.get("outdone"), contraction.get("warning"))
    numbers = {**metrics, **test, QUIET: levels.get(QUIET_DB), PASTS: pasts.get(PASTS)}
    scores = {name: _number(numbers[name]) for name in (*NAMES, QUIET, PASTS) if _is_number(numbers.get(name))}
    box = metrics.get("box")
    said = tuple(plain(warning) for warning in warnings if warning)
    return Run(folder, flat_options(config), scores, levels, songs, said, box and plain(box))


def _file_name(value: Any) -> str:
    """A name that files can have; ValueError for any other."""
    os.fsencode(str(value))
    return str(value)


def flat_options(config: dict[Any, Any]) -> dict[str, str]:
    """A config as dotted names to values as text; a `_target_` is named by its section."""
    return dict(_flat(config))


def _flat(config: dict[Any, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for key, value in config.items():
        name = f"{prefix}{plain(key)}"
        if key == "_target_":
            yield prefix.rstrip(".") or "_target_", plain(str(value).rsplit(".", 1)[-1])
        elif isinstance(value, dict):
            yield from _flat(value, f"{name}.")
        else:
            yield name, plain(_same_number(value))


def _same_number(value: Any) -> Any:
    """5 for 5.0, in lists too: the same option however it was written."""
    if isinstance(value, list):
        return [_same_number(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Any) -> float:
    if not _is_number(value):
        raise ValueError(f"got {plain(value)} where a number belongs")
    return math.inf if math.isnan(value) else float(value)
