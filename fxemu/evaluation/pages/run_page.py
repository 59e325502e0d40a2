"""The page of a run, `report.html`: what was asked, how well it does, how it sounds, and how to use it."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

import fxemu.effects
from fxemu.evaluation.baselines import IN_WORDS
from fxemu.evaluation.character import sound_in_words
from fxemu.evaluation.measurements.sweeps import sweep_stem
from fxemu.evaluation.metrics import esr_db
from fxemu.evaluation.pages.html import SOUND_BYTES, picture, render
from fxemu.evaluation.pages.sounds import Sound, stretch
from fxemu.evaluation.plots import PLOTS
from fxemu.evaluation.runs import Run, plain, read_run
from fxemu.files import parse_json, write_whole
from fxemu.library.songs import file_stem
from fxemu.models.knobs import MOST_KNOBS

PAGE = "report.html"
SONGS, SECONDS = 3, 8.0
# Score, its name, how it is written, and what it is.
TABLE = (
    ("esr", "ESR", ".2e", "error-to-signal ratio of a free run, over all held-out songs"),
    ("esr_worst", "ESR, worst song", ".2e", ""),
    ("nmae", "NMAE", ".2%", "mean absolute error over mean absolute target"),
    ("esr_preemphasis", "ESR, pre-emphasis", ".2e", "after 1 - 0.85 z^-1, so that treble counts"),
    ("esr_a_weighted", "ESR, A-weighted", ".2e", "as the ear weighs frequencies"),
    ("esr_treble", "ESR, treble", ".2e", "of what lies above 4 kHz"),
    ("treble_level_db", "treble", "+.1f", "dB more than the target above 4 kHz"),
    ("mrstft", "MR-STFT", ".3f", "distance of spectra, at three resolutions"),
    ("loudness_error_lu", "loudness", "+.2f", "LU more than the target"),
    ("gain_error_db", "gain curve", ".2f", "dB off, in pieces of 10 ms"),
    ("teacher_forced_esr", "ESR, teacher forced", ".2e", "with the true past, which no listener hears"),
    ("worst_over_best", "worst/best past", ".2f", "error after the worst past over that after the best"),
    ("divergences", "diverged", ".0f", "songs that end stuck at the limit"),
    ("realtime_factor", "x real time", ".0f", "seconds rendered in a second on one core"),
    ("multiply_adds", "multiply-adds", ",.0f", "in one sample"),
    ("parameters", "parameters", ",.0f", ""),
    ("train_seconds", "training", ",.0f", "seconds"),
)
# Options that say what was asked, in order.
ASKED = ("repr.input", "repr.output", "model", "loss", "training", "trainer.max_time", "data.library", "seed")


def write_run_page(folder: Path) -> Path:
    """Write the page of a finished run into its folder; returns its path.

    Raises:
        RunError: if it is no finished run.
        OSError: if it cannot be written.
    """
    run = read_run(folder)
    path = folder / PAGE
    write_whole(path, run_page(run).encode())
    return path


def run_page(run: Run) -> str:
    """The page as HTML, everything in it."""
    about = _json(run.folder / "environment.json")
    songs = dict(_songs(run))
    return render(
        "run.html",
        ("player.js",),
        run=run,
        title=_title(run),
        about=f"trained on {plain(about['device'])}" if "device" in about else "",
        warnings=list(_warnings(run)),
        figures=list(_figures(run)),
        verdict=_verdict(run),
        words=list(_in_words(run)),
        songs=songs.items(),
        esr_db=esr_db,
        silent=len(run.songs) - len(songs),
        sweeps=list(_sweeps(run)),
        effect=effect_in_words(run.options),
        command=_command(run.folder),
        asked=[(name, run.options[name]) for name in ASKED if name in run.options],
        scores=score_rows(run),
        commands=_commands(run.folder),
        plots=list(_plots(run)),
    )


def score_rows(run: Run) -> list[tuple[str, str, str]]:
    """The table of scores: name, value and what it is."""
    return [(name, format(run.scores[key], form), note) for key, name, form, note in TABLE if key in run.scores]


def _title(run: Run) -> str:
    names = [run.options.get(name, "") for name in ("effect", "model", "repr.input", "repr.output")]
    effect, model, *sides = names
    return f"{effect or 'An effect'} learned by {model or 'a model'}, {' to '.join(dict.fromkeys(filter(None, sides)))}"


def _verdict(run: Run) -> str:
    """How good it is in a sentence, beside what is left where there is no network."""
    test = _json(run.folder / "metrics.json").get("test")
    baselines = test.get("baselines") if isinstance(test, dict) else None
    said = []
    for name, meaning in IN_WORDS.items():
        baseline = baselines.get(name) if isinstance(baselines, dict) else None
        esr = baseline.get("esr") if isinstance(baseline, dict) else None
        if isinstance(esr, int | float):
            said.append(f"{meaning} leaves {esr_db(esr):.0f} dB")
    beside = f"; {', '.join(said)}" if said else ""
    return f"Its error is {esr_db(run.scores['esr']):.0f} dB relative to the signal (ESR, lower is better){beside}."


def _in_words(run: Run) -> Iterator[tuple[str, str]]:
    """(question, answer) of what a listener asks first."""
    if said := sound_in_words(run):
        yield "How it sounds", f"{'; '.join(said)}."
    if len(run.songs) > 1:
        songs = sorted(run.songs, key=run.songs.__getitem__)
        best, worst = (f"{plain(song)}, {esr_db(run.songs[song]):.0f} dB" for song in (songs[0], songs[-1]))
        yield "Best and worst song", f"{best}; {worst}."
    race = _json(run.folder / "metrics.json").get("race")
    if isinstance(race, dict) and isinstance(race.get("why"), str):
        yield "Why this model", f"{plain(race['why'])}."
    else:
        yield "Why this model", "it was asked for, and no other was tried; fxemu compare puts runs side by side."


def _figures(run: Run) -> Iterator[tuple[str, str]]:
    esr = run.scores["esr"]
    yield f"{esr:.1e}", "ESR, free run"
    yield f"{esr_db(esr):.0f} dB", "ESR in dB"
    for key, form, meaning in (
        ("esr_preemphasis", ".1e", "ESR, pre-emphasis"),
        ("mrstft", ".2f", "MR-STFT"),
        ("loudness_error_lu", "+z.1f LU", "loudness"),
        ("realtime_factor", ".0f x", "real time, one core"),
        ("multiply_adds", ",.0f", "multiply-adds a sample"),
    ):
        if key in run.scores:
            form, _, unit = form.partition(" ")
            yield f"{run.scores[key]:{form}} {unit}".strip(), meaning


def _warnings(run: Run) -> Iterator[str]:
    if run.scores.get("inverted_esr", math.inf) < run.scores["esr"]:
        yield f"The output is upside down; inverted its ESR would be {run.scores['inverted_esr']:.2e}."
    if run.scores.get("divergences"):
        yield f"The free run of {run.scores['divergences']:.0f} song(s) ends stuck at its limit."
    yield from (f"{warning[:1].upper()}{warning[1:]}." for warning in run.warnings)


def effect_in_words(options: dict[str, str]) -> str:
    """The effect in words: what its class says of itself, and its arguments."""
    name = options.get("effect", "effect unknown")
    kind = getattr(fxemu.effects, name, None) if name in fxemu.effects.__all__ else None
    words = (kind.__doc__ or name).strip().splitlines()[0] if kind else name
    arguments = [f"{key.split('.', 1)[1]} {value}" for key, value in options.items() if key.startswith("effect.")]
    return f"{words} {', '.join(arguments)}".strip()


def _command(folder: Path) -> str | None:
    """The command that trained it; None where no record of it is left."""
    try:
        words = yaml.safe_load((folder / ".hydra" / "overrides.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None
    return shlex.join(["fxemu", "train", *map(plain, words)]) if isinstance(words, list) else None


def _commands(folder: Path) -> list[tuple[str, str]]:
    """Commands to use a run, each a line for a shell, from where this process runs."""
    here = os.path.relpath(folder)
    place = str(folder.resolve()) if here.startswith("..") else here
    run = shlex.quote(place)
    return [
        ("Play a song through it", f"fxemu render {run} song.wav wet.wav"),
        ("Play live", f"fxemu live {run}"),
        ("Export it as a plugin", f"fxemu export {run} --format lv2 --output {shlex.quote(folder.name)}.lv2"),
        ("Listen blind", f"fxemu listen {run}"),
        ("Train on, if it was interrupted", shlex.join(["fxemu", "train", f"resume={place}"])),
        ("See how it learned", f"tensorboard --logdir {run}"),
    ]


def shown_songs(run: Run) -> list[str]:
    """The songs that are played: the worst, the best, and others."""
    ranked = sorted(run.songs, key=run.songs.__getitem__, reverse=True)
    return list(dict.fromkeys([*ranked[:1], *ranked[-1:], *run.songs]))[:SONGS]


def _songs(run: Run) -> Iterator[tuple[str, list[Sound]]]:
    """Dry, target, prediction and error of the first songs, as far as the page has room for them."""
    for song in shown_songs(run):
        if sounds := _sounds(run, song, SOUND_BYTES // SONGS):
            yield song, sounds


def _sweeps(run: Run) -> Iterator[tuple[str, list[Sound]]]:
    """The same of the sweeps of knobs, each with what turns."""
    for option, span in run.options.items():
        section, _, name = option.partition(".")
        if section == "knobs" and (sounds := _sounds(run, sweep_stem(name), SOUND_BYTES // MOST_KNOBS)):
            yield f"{name} turned over {span}", sounds


def _sounds(run: Run, song: str, most_bytes: int) -> list[Sound]:
    """Dry, target, prediction and error of a song; none if its files are gone."""
    files = {kind: (run.folder, kind) for kind in ("target", "prediction", "dry")}
    found = stretch(files, song, SECONDS)
    if found is None:
        return []
    complete = {"target", "prediction"} <= found.samples.keys()
    return [*found.sounds(most_bytes), *([found.error()] if complete else [])]


def _plots(run: Run) -> Iterator[tuple[str, str]]:
    """(caption, data URL) of a run's pictures."""
    names = ["training_curve", "race", "settings", "levels", "contraction", "first_layer"]
    names += [f"{file_stem(song)}-{plot}" for song in shown_songs(run) for plot in PLOTS]
    for name in names:
        source = picture(run.folder / "plots" / f"{name}.png")
        if source is not None:
            yield plain(name.replace("_", " ")), source


def _json(path: Path) -> dict[str, Any]:
    """The mapping in a JSON file; an empty one if there is none."""
    try:
        content = parse_json(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
