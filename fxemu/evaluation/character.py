"""The sound of an emulation in words, from its scores: treble, loudness, roughness."""

from __future__ import annotations

from collections.abc import Iterator

from fxemu.evaluation.metrics import TREBLE_HZ, esr_db
from fxemu.evaluation.runs import Run

# Differences that hardly anybody hears: in loudness (LU) and in the level of the treble (dB).
AUDIBLE_LU, AUDIBLE_DB = 0.5, 1.5
# Error of the treble beside the signal there, in dB: up to the first it is clean, up to the second a little rough.
CLEAN_DB, LITTLE_DB = -20.0, -6.0


def sound_in_words(run: Run) -> list[str]:
    """Differences from the target that a listener notices, each with its figure."""
    return [phrase for _, phrase in _noticed(run)]


def sound_in_brief(run: Run) -> str:
    """The same in two or three words, such as `quiet, dull`; empty if no figure tells."""
    noticed = list(_noticed(run))
    return ", ".join(word for word, _ in noticed if word) or ("like the target" if noticed else "")


def _noticed(run: Run) -> Iterator[tuple[str, str]]:
    """(word, phrase) of each; the word is empty where it is as it should be."""
    scores = run.scores
    if stuck := scores.get("divergences"):
        yield "stuck", f"{stuck:.0f} of {len(run.songs)} songs end stuck"
    if (louder := scores.get("loudness_error_lu")) is not None:
        how = "quiet" if louder < 0 else "loud"
        phrase = f"{how}: {abs(louder):.1f} LU {'quieter' if louder < 0 else 'louder'} than the target"
        yield (how, phrase) if abs(louder) >= AUDIBLE_LU else ("", "as loud as the target")
    if treble := scores.get("esr_treble"):
        yield _treble(esr_db(treble), scores.get("treble_level_db", 0.0))
    if run.levels:
        quietest = min(run.levels)
        yield "", f"at an input of {quietest:.0f} dBFS its error is {esr_db(run.levels[quietest]):.0f} dB"


def _treble(error_db: float, level_db: float) -> tuple[str, str]:
    """Dull or bright by the level of the treble beside the target's, or else rough by the error in it."""
    measured = f"above {TREBLE_HZ / 1000:.0f} kHz its error is {error_db:.0f} dB relative to the signal there"
    if abs(level_db) >= AUDIBLE_DB:
        how = "dull" if level_db < 0 else "bright"
        return how, f"{how}: treble {abs(level_db):.0f} dB too {'quiet' if level_db < 0 else 'loud'}; {measured}"
    if error_db <= CLEAN_DB:
        return "", f"clean treble: {measured}"
    how = "a little rough" if error_db <= LITTLE_DB else "rough"
    return how, f"{how}: {measured}"
