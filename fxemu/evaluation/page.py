"""The comparison as one HTML file that needs no network: tables, plots, and players of the same songs."""

from __future__ import annotations

import base64
import io
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jinja2 import Environment, StrictUndefined
from PIL import Image
from torch import Tensor

from fxemu.audio.decoding import AudioError, read
from fxemu.audio.tensors import encode_flac
from fxemu.errors import SAMPLE_RATES_HZ
from fxemu.evaluation.plots import PLOTS, level_curves
from fxemu.evaluation.runs import Run, plain
from fxemu.library.songs import file_stem

TEMPLATE = Path(__file__).with_name("page.html")
LARGEST_IMAGE_PIXELS = 8_000_000
# A file of some megabytes may hold hours of silence.
LONGEST_S = 1200


@dataclass(frozen=True)
class Column:
    """A score: its name, heading and format, and whether lower (-1) or higher (1) is better, or neither (0)."""

    score: str
    heading: str
    format: str
    better: int


@dataclass(frozen=True)
class Row:
    """A config: its number in the task, its differing options, its runs and the one to listen to.

    `spreads` has (median, lowest, highest) of each score, `best` the scores in which no rival is better.
    """

    number: int
    options: dict[str, str]
    runs: tuple[Run, ...]
    typical: Run
    spreads: dict[str, tuple[float, float, float]]
    best: set[str]

    @property
    def label(self) -> str:
        named = (f"{name.rsplit('.', 1)[-1]} {value}" for name, value in self.options.items() if value)
        return f"{self.number}: {', '.join(named) or plain(self.typical.folder.name)}"


@dataclass(frozen=True)
class Task:
    """Rows that can be compared: the same effect, sample rate and test songs."""

    title: str
    rows: list[Row]


@dataclass(frozen=True)
class Player:
    """A sound on the page; `source` is a data URL, or None where the run has no such file."""

    label: str
    source: str | None


def make_page(options: list[str], columns: list[Column], tasks: list[Task], songs: int, seconds: float) -> str:
    """The page as HTML, everything in it.

    Args:
        options: names of the options in which the configs differ.
        columns: the scores to show.
        tasks: what to show.
        songs: test songs of each task that get players and plots.
        seconds: of each song, around its loudest moment.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    sections = [
        {
            "title": task.title,
            "rows": task.rows,
            "levels": _level_chart(task),
            "songs": [(song, list(_players(task, song, seconds))) for song in list(task.rows[0].typical.songs)[:songs]],
            "plots": [(row.label, list(_plots(row.typical, songs))) for row in task.rows],
        }
        for task in tasks
    ]
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    # Only the page's own script and style carry the nonce; text from a run could not run even if it got through.
    return template.render(options=options, columns=columns, sections=sections, nonce=secrets.token_urlsafe(16))


def _level_chart(task: Task) -> str | None:
    """ESR against input level, a line for each config by its number; None if no run has it."""
    curves = {str(row.number): dict(sorted(row.typical.levels.items())) for row in task.rows if row.typical.levels}
    if not curves:
        return None
    data = io.BytesIO()
    level_curves(curves).savefig(data, format="png", dpi=110)
    return _data_url("image/png", data.getvalue())


def _players(task: Task, song: str, seconds: float) -> Iterator[Player]:
    """Dry, target and each config's prediction: the same stretch of the song, at the same gain."""
    first = task.rows[0].typical
    wanted = [("target", first, "target"), ("dry", first, "dry")]
    wanted += [(row.label, row.typical, "prediction") for row in task.rows]
    sounds = {label: sound for label, run, kind in wanted if (sound := _sound(run, song, kind))}
    if not sounds:
        return
    samples, rate = next(iter(sounds.values()))
    length = max(1, int(seconds * rate))
    start = max(0, min(int(samples.abs().argmax()) - length // 2, samples.numel() - length))
    parts = {label: sound[start : start + length] for label, (sound, its_rate) in sounds.items() if its_rate == rate}
    peak = max(1.0, *(float(part.abs().max()) for part in parts.values() if part.numel()))
    for label, _, _ in wanted:
        present = label in parts and parts[label].numel() > 0
        yield Player(label, _data_url("audio/flac", encode_flac(parts[label] / peak, rate)) if present else None)


def _sound(run: Run, song: str, kind: str) -> tuple[Tensor, int] | None:
    """Samples and their rate in Hz; None if there is no such file, or it is none that a run writes."""
    try:
        sound = read(run.folder / "audio" / f"{file_stem(song)}-{kind}.wav", seconds=LONGEST_S)
    except AudioError:
        return None
    low, high = SAMPLE_RATES_HZ
    return (torch.from_numpy(sound.samples), sound.rate) if low <= sound.rate <= high else None


def _plots(run: Run, songs: int) -> Iterator[tuple[str, str]]:
    """(caption, data URL) of a run's own pictures."""
    names = ["levels", *(f"{file_stem(song)}-{plot}" for song in list(run.songs)[:songs] for plot in PLOTS)]
    for name in names:
        picture = _picture(run.folder / "plots" / f"{name}.png")
        if picture is not None:
            yield plain(name), picture


def _picture(path: Path) -> str | None:
    """A PNG as a smaller WebP, drawn anew so that nothing but pixels comes along; None if it is missing or broken."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            if image.width * image.height > LARGEST_IMAGE_PIXELS:
                return None
            data = io.BytesIO()
            image.convert("RGB").save(data, "WEBP", quality=80)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return _data_url("image/webp", data.getvalue())


def _data_url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
