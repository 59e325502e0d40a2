"""The page of a blind listening test: ABX and MUSHRA, level-matched, with nothing in it that tells which is which."""

from __future__ import annotations

import random
from collections.abc import Sequence

from scipy.signal import butter, sosfiltfilt
from torch import Tensor, from_numpy

from fxemu.audio.loudness import loudness_lufs
from fxemu.evaluation.compare import group_runs, tasks
from fxemu.evaluation.listening import ANCHOR, FORMAT, REFERENCE, Order, draw_order, quantile, run_key, sealed
from fxemu.evaluation.metrics import esr_db
from fxemu.evaluation.pages.html import SOUND_BYTES, render
from fxemu.evaluation.pages.sounds import encode, stretch
from fxemu.evaluation.runs import Run, RunError, plain

# The low anchor of ITU-R BS.1534: the reference below this frequency.
ANCHOR_HZ = 3500.0
# JSON has no infinity.
WORST_ESR = 1e30


def listen_page(runs: Sequence[Run], songs: Sequence[str], seconds: float, trials: int, seed: int) -> str:
    """The page as HTML, everything in it.

    Args:
        runs: with the same effect and test songs.
        songs: to listen to.
        seconds: of each, around its loudest moment.
        trials: of ABX for each run; 0 for none.
        seed: decides the order.

    Raises:
        RunError: if a sound is missing, or the page would be too large.
    """
    order, chance = draw_order(seed, len(runs), len(songs), trials), random.Random(seed)
    sounds, places = _sounds(runs, songs, seconds, chance)
    salt = f"{chance.getrandbits(32):08x}"
    return render(
        "listen.html",
        ("player.js", "listen.js"),
        trials=len(order.trials),
        screens=len(order.screens),
        minutes=max(1, round((trials * len(runs) * 15 + len(songs) * 90) / 60)),
        data={"sounds": sounds, "salt": salt, "plan": sealed(_plan(runs, songs, order, places), salt)},
    )


def _plan(runs: Sequence[Run], songs: Sequence[str], order: Order, places: dict) -> dict:
    """What `listen.js` needs to know: sounds by their number, in order, and what they were."""
    return {
        "format": FORMAT,
        "seed": order.seed,
        "runs": [
            {
                **{"key": run_key(run), "name": plain(run.folder.name), "what": what},
                "esr_db": esr_db(min(run.scores["esr"], WORST_ESR)),
            }
            for run, what in zip(runs, _in_words(runs), strict=True)
        ],
        "songs": [plain(song) for song in songs],
        "quantile": quantile(len(songs)) if len(songs) > 1 else None,
        "abx": [
            {
                **{"song": trial.song, "run": trial.run, "target": trial.target},
                "sounds": [places[trial.song, which] for which in (REFERENCE, trial.run)],
            }
            for trial in order.trials
        ],
        "mushra": [
            {
                **{"song": song, "items": list(items), "reference": places[song, REFERENCE]},
                "sounds": [places[song, item] for item in items],
            }
            for song, items in order.screens
        ],
    }


def _in_words(runs: Sequence[Run]) -> list[str]:
    """Differences of each run from the others in words, or its folder's name where there are none."""
    words = {
        run.folder: row.summary
        for task in tasks(group_runs(runs), in_full=True)
        for row in task.rows
        for run in row.runs
    }
    return [
        words[run.folder] if list(words.values()).count(words[run.folder]) == 1 else plain(run.folder.name)
        for run in runs
    ]


def _sounds(runs: Sequence[Run], songs: Sequence[str], seconds: float, chance: random.Random) -> tuple[list, dict]:
    """All sounds in no order, and the number of each by song and what it is: a run, REFERENCE or ANCHOR."""
    made = []
    for number, song in enumerate(songs):
        files = {REFERENCE: (runs[0].folder, "target")}
        files |= {str(i): (run.folder, "prediction") for i, run in enumerate(runs)}
        found = stretch(files, song, seconds)
        if found is None or found.samples.keys() != files.keys():
            raise RunError(f"{plain(song)}: not all runs have its target and prediction in audio/, at the same length")
        matched = _matched(found.samples | {ANCHOR: _low_passed(found.samples[REFERENCE], found.rate)}, found.rate)
        for name, samples in matched.items():
            made.append(((number, int(name) if name.isdigit() else name), encode("", samples, found.rate).data))
    if sum(len(str(sound["flac"])) for _, sound in made) > SOUND_BYTES:
        raise RunError("the page would be larger than 10 MB: take fewer runs, --songs or --seconds")
    chance.shuffle(made)
    return [sound for _, sound in made], {name: place for place, (name, _) in enumerate(made)}


def _low_passed(samples: Tensor, rate: int) -> Tensor:
    sections = butter(8, ANCHOR_HZ, fs=rate, output="sos")
    return from_numpy(sosfiltfilt(sections, samples.double().numpy()).copy()).float()


def _matched(samples: dict[str, Tensor], rate: int) -> dict[str, Tensor]:
    """Sounds at the loudness of the reference, and all of them as much lower as keeps the loudest from clipping."""
    lufs = {name: loudness_lufs(sound.numpy(), rate) for name, sound in samples.items()}
    wanted = lufs[REFERENCE]
    gains = {name: 1.0 if own is None or wanted is None else 10 ** ((wanted - own) / 20) for name, own in lufs.items()}
    matched = {name: gains[name] * sound for name, sound in samples.items()}
    peak = max(1.0, *(float(sound.abs().max()) for sound in matched.values()))
    return {name: sound / peak for name, sound in matched.items()}
