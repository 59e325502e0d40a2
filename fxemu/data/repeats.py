"""Whether an effect makes the same wet of the same dry twice."""

from __future__ import annotations

from fxemu.effects import Effect
from fxemu.library.pair import Pair

# Of a song, in the middle; and the share of wet's energy in which rounding may differ.
EXCERPT_S, SAME = 0.25, 1e-10


def repeat_line(effect: Effect, pair: Pair, sample_rate: int) -> str | None:
    """The line on an effect whose wet is another one each time; None for others, and for recordings.

    Two wets that differ by noise of their own differ by twice its energy: half of that no model can know.
    """
    if not effect.replayable:
        return None
    dry = pair.middle(int(EXCERPT_S * sample_rate)).dry
    first, second = (effect(dry, sample_rate).double() for _ in range(2))
    energy = float(first.square().sum())
    apart = float((first - second).square().sum()) / (2 * energy) if energy else 0.0
    if apart <= SAME:
        return None
    return f"the effect makes another wet of the same dry each time: no model gets below an ESR of {apart:.0e}"
