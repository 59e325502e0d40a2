"""Knobs turned while a song plays: settings over time, and the positions of the knobs.

Positions are smoothed by one pole (`models.knobs.smoothed`), in every player alike: a knob that jumps makes no click.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fxemu.engine.plan import PERIOD
from fxemu.files import printable
from fxemu.models.knobs import Knob, KnobError, positions, smoothed

# A value throughout, or values at times in seconds, (time, value) in rising order, with straight lines between them.
Setting = float | Sequence[tuple[float, float]]


class Turn:
    """Positions of K knobs over time: each call passes so many samples and gives those at the points in them, (K, G).

    They are what `Stream.process` takes: at a point each knob turns towards its setting, and so it stands at the next.

    Args:
        knobs: of the model.
        settings: of some of them by name; the others stay at their defaults.
        rate: of the samples, in Hz.

    Raises:
        KnobError: for a knob that there is not, a value out of range, or times that do not rise.
    """

    def __init__(self, knobs: Sequence[Knob], settings: Mapping[str, Setting], rate: int) -> None:
        self.rate, self.samples = rate, 0
        points = {name: _points(name, setting) for name, setting in settings.items()}
        # Refuses names that there are not.
        positions(knobs, {name: values[0][1] for name, values in points.items()})
        lines = [points.get(knob.name, [(0.0, knob.default)]) for knob in knobs]
        self.still = all(len(line) == 1 for line in lines)
        self.lines = [
            (np.array([t for t, _ in line]), np.array([knob.position(value) for _, value in line]))
            for knob, line in zip(knobs, lines, strict=True)
        ]
        self.start = self.last = self._aimed(np.zeros(1))[:, 0]

    def __call__(self, samples: int) -> Tensor:
        points = np.arange(-(-self.samples // PERIOD), -(-(self.samples + samples) // PERIOD))
        moved = smoothed(self._aimed(points * (PERIOD / self.rate)), self.last, self.rate)
        self.samples += samples
        self.last = moved[:, -1] if points.size else self.last
        return moved

    def _aimed(self, seconds: NDArray) -> Tensor:
        """Where the knobs are turned to at times in seconds, (K, times)."""
        aimed = [np.interp(seconds, *line) for line in self.lines]
        return torch.from_numpy(np.array(aimed, np.float32).reshape(len(self.lines), seconds.size))


def _points(name: str, setting: Setting) -> list[tuple[float, float]]:
    if isinstance(setting, int | float):
        return [(0.0, float(setting))]
    try:
        points = [(float(t), float(value)) for t, value in setting]
    except (TypeError, ValueError):
        points = []
    times = [t for t, _ in points]
    if not points or not all(map(math.isfinite, times)) or times != sorted(set(times)) or times[0] < 0:
        raise KnobError(
            f"{name}: got {setting!r}; must be a value, or values at times in seconds that rise from 0 or later, "
            "such as [(0, 10), (5, 40)]"
        )
    return points


def standing(settings: Mapping[str, Setting]) -> dict[str, float]:
    """Settings that do not move; KnobError for others."""
    moving = [name for name, setting in settings.items() if not isinstance(setting, int | float)]
    if moving:
        raise KnobError(f"--knob {moving[0]}: must stand still here; give NAME=VALUE")
    return {name: float(value) for name, value in settings.items()}


def parse_settings(words: Sequence[str]) -> dict[str, Setting]:
    """Settings as the command line has them: NAME=30, NAME=0:10,5:40 (seconds:value), or a CSV file of them over time.

    Raises:
        KnobError: for anything else.
    """
    settings: dict[str, Setting] = {}
    for word in words:
        name, equals, text = word.partition("=")
        found = {name: _parsed(word, text)} if equals else _read(Path(word))
        twice = settings.keys() & found.keys()
        if twice:
            raise KnobError(f"--knob {word}: {', '.join(sorted(twice))} is set twice")
        settings |= found
    return settings


def _parsed(word: str, text: str) -> Setting:
    try:
        if ":" not in text:
            return float(text)
        return [(float(t), float(value)) for t, value in (point.split(":") for point in text.split(","))]
    except ValueError as error:
        raise KnobError(
            f"--knob {word}: must be NAME=VALUE, NAME=TIME:VALUE,TIME:VALUE (in seconds), or a CSV file"
        ) from error


def _read(path: Path) -> dict[str, Setting]:
    """A CSV file: `seconds` and the names of knobs as its header, and a line for each time."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return {
            name: [(float(row["seconds"]), float(row[name])) for row in rows]
            for name in (rows[0] if rows else ())
            if name != "seconds"
        }
    except OSError as error:
        raise KnobError(f"--knob {printable(path)}: {error.strerror}; give NAME=VALUE, or a CSV file") from error
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise KnobError(
            f"--knob {printable(path)}: must be a CSV file with seconds and the names of knobs above columns of numbers"
        ) from error
