"""Levels of wet: songs that an effect silences, and a peak far from full scale."""

from __future__ import annotations

import math

from fxemu.effects import EffectError
from fxemu.files import printable
from fxemu.library.pair import Pair
from fxemu.library.songs import Skipped

# Peaks that are worth a line: below -20 dBFS, and above +3 dBFS.
LOW, HIGH = 0.1, 1.41


def with_sound(pairs: list[Pair], part: str, skipped: Skipped) -> list[Pair]:
    """Pairs whose wet is not silent, since nothing can be scored on others, which are added to `skipped`.

    Raises:
        EffectError: if there are none.
    """
    for pair in pairs:
        if not pair.wet.any():
            skipped.add(pair.name, f"{printable(pair.name)}: left out of {part}: the effect makes silence of it")
    sounding = [pair for pair in pairs if pair.wet.any()]
    if not sounding:
        raise EffectError(f"the effect makes silence of every song held out for {part}: look at its options")
    return sounding


def level_line(pairs: list[Pair]) -> str | None:
    """The line on a wet signal that peaks far from full scale; None for others."""
    peak = max(float(pair.wet.abs().max()) for pair in pairs)
    if LOW < peak < HIGH:
        return None
    return f"wet peaks at {20 * math.log10(peak):+.1f} dBFS: learned at full scale, and played at its own level"
