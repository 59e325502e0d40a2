"""Checks that an effect can be learned from dry at all: deterministic, dependent on dry, and causal."""

from __future__ import annotations

from fxemu.effects import Effect
from fxemu.library.pair import Pair

# Of a song, in the middle; the share of wet's energy in which rounding may differ, and of what filters may look ahead.
EXCERPT_S, SAME, AHEAD = 0.25, 1e-10, 0.01


def unlearnable_line(effect: Effect, pair: Pair, sample_rate: int) -> str | None:
    """The line for an effect that is random, looks ahead or does not depend on dry; None for others and for recordings.

    Two wets that differ by noise of their own differ by twice its energy: half of that no model can know.
    """
    if not effect.replayable:
        return None
    dry = pair.middle(int(EXCERPT_S * sample_rate)).dry
    half = dry.numel() // 2
    ending = dry.clone()
    ending[half:] = 0
    first, again, ended = (effect(x, sample_rate).double() for x in (dry, dry, ending))
    energy = first.square().sum()
    if not energy or not dry[half:].any():
        return None
    apart = float((first - again).square().sum() / (2 * energy))
    if apart > SAME:
        return f"the effect makes another wet of the same dry each time: no model gets below an ESR of {apart:.0e}"
    changed = (first - ended).square()
    if float(changed[:half].sum() / energy) > AHEAD:
        return (
            "the effect looks ahead: its wet depends on dry that comes later, which no model that plays live can know"
        )
    if float(changed.sum() / energy) <= SAME:
        return "the effect does not depend on dry: its wet is the same whatever dry is"
    return None
