"""Blind listening tests: their trials in a hidden random order, and the statistics of the answers."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import math
import random
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scipy.stats import binomtest, t

from fxemu.evaluation.runs import CONFIG, LARGEST_BYTES, METRICS, Run, RunError, plain
from fxemu.files import parse_json, read_at_most

REFERENCE, ANCHOR = "reference", "anchor"
FORMAT = "fxemu listening test 1"
# Scores that listeners give, beside those of a run's own.
HEARD = ("abx_right", "abx_p", "mushra", "mushra_interval")
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Trial:
    """An ABX trial: song and run by number; whether X is the target, or else the run's prediction."""

    song: int
    run: int
    target: bool


@dataclass(frozen=True)
class Order:
    """A listening test in the order that it is taken in.

    Args:
        seed: that decided it.
        trials: of ABX.
        screens: of MUSHRA: a song, and numbers of runs, REFERENCE and ANCHOR as they stand on the screen.
    """

    seed: int
    trials: tuple[Trial, ...]
    screens: tuple[tuple[int, tuple[int | str, ...]], ...]


def draw_order(seed: int, runs: int, songs: int, trials: int) -> Order:
    """Draw the order of a test: `trials` for each run, over the songs in turn, and a screen for each song."""
    chance = random.Random(seed)
    drawn = [Trial(i % songs, run, chance.random() < 0.5) for run in range(runs) for i in range(trials)]
    chance.shuffle(drawn)
    screens = []
    for song in chance.sample(range(songs), songs):
        items: list[int | str] = [*range(runs), REFERENCE, ANCHOR]
        chance.shuffle(items)
        screens.append((song, tuple(items)))
    return Order(seed, tuple(drawn), tuple(screens))


def sealed(content: Any, salt: str) -> str:
    """A value as text that tells nothing to the eye: its JSON xor a stream of bytes that a salt begins, in base64.

    No secret: the page that holds it opens it, to play the sounds and to tell the answers at the end.
    """
    data = json.dumps(content).encode()
    return base64.b64encode(bytes(a ^ b for a, b in zip(data, _stream(salt), strict=False))).decode()


def opened(text: str, salt: str) -> Any:
    """The value that was sealed."""
    return json.loads(bytes(a ^ b for a, b in zip(base64.b64decode(text), _stream(salt), strict=False)))


def _stream(salt: str) -> Iterator[int]:
    """Endless bytes, the same as `stream` in `listen.js`: a linear congruential generator seeded by the salt."""
    state = int(salt, 16)
    while True:
        state = (1_664_525 * state + 1_013_904_223) % 2**32
        yield state >> 24


def run_key(run: Run) -> str:
    """A name of a run that stays when its folder moves."""
    content = b"".join((run.folder / name).read_bytes() for name in (CONFIG, METRICS))
    return hashlib.sha256(content).hexdigest()[:16]


def p_value(right: int, trials: int) -> float:
    """Probability that a listener who guesses is right at least so often: one-sided binomial test."""
    return float(binomtest(right, trials, 0.5, alternative="greater").pvalue) if trials else 1.0


def half_interval(ratings: Sequence[float]) -> float:
    """Half the width of the CONFIDENCE interval of their mean by Student's t; infinity for fewer than two."""
    if len(ratings) < 2:
        return math.inf
    return quantile(len(ratings)) * statistics.stdev(ratings) / math.sqrt(len(ratings))


def quantile(ratings: int) -> float:
    """Student's t for a CONFIDENCE interval of a mean of so many ratings, two or more."""
    return float(t.ppf(0.5 + CONFIDENCE / 2, ratings - 1))


def read_result(path: Path) -> dict[str, Any]:
    """The answers of a listener, as `listen.js` saves them.

    Raises:
        RunError: for a file that is none.
    """
    try:
        result = parse_json(read_at_most(path, LARGEST_BYTES))
        if not isinstance(result, dict) or result.get("format") != FORMAT:
            raise ValueError("it is no result of a listening test")
        abx = [(str(trial["run"]), bool(trial["right"])) for trial in result["abx"]]
        ratings = [(str(k), float(v)) for screen in result["mushra"] for k, v in screen["ratings"].items()]
        if not all(0 <= value <= 100 for _, value in ratings):
            raise ValueError("a rating is not from 0 to 100")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = error.strerror if isinstance(error, OSError) else plain(str(error))
        raise RunError(f"{plain(path)}: cannot be read as the result of a listening test: {reason}") from error
    return {"abx": abx, "ratings": ratings}


def with_listening(runs: Iterable[Run], results: Sequence[dict[str, Any]]) -> list[Run]:
    """Runs with what listeners answered beside their scores, all listeners together."""
    abx, ratings = (
        list(itertools.chain.from_iterable(result[part] for result in results)) for part in ("abx", "ratings")
    )
    return [replace(run, scores=run.scores | _scores(run_key(run), abx, ratings)) for run in runs]


def _scores(key: str, abx: list[tuple[str, bool]], ratings: list[tuple[str, float]]) -> dict[str, float]:
    answers = [right for run, right in abx if run == key]
    rated = [rating for run, rating in ratings if run == key]
    scores = {}
    if answers:
        scores |= {"abx_right": sum(answers) / len(answers), "abx_p": p_value(sum(answers), len(answers))}
    if rated:
        scores |= {"mushra": statistics.fmean(rated), "mushra_interval": half_interval(rated)}
    return scores
