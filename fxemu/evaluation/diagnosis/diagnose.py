"""Diagnosis in a sentence and a table: the simplest kind of effect that explains dry and wet as well as any.

Shapes: T samples, float64 mono of one sample rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from fxemu.evaluation.diagnosis.curve import explain_by_curve
from fxemu.evaluation.diagnosis.digital import explain_by_digits
from fxemu.evaluation.diagnosis.explanation import Explanation, share_db, share_left
from fxemu.evaluation.diagnosis.level import explain_by_closing, explain_by_level, varying_gain
from fxemu.evaluation.diagnosis.modulation import (
    explain_by_following_filter,
    explain_by_oscillator,
    explain_by_periodic_filter,
)
from fxemu.evaluation.diagnosis.response import (
    explain_by_filter,
    explain_by_tail,
    response_words,
    short_filter,
    skipped,
)
from fxemu.library.pair import Pair
from fxemu.library.recordings.capture import most_energetic
from fxemu.models.fits.fir import filtered

SECONDS, BRIEF_S = 12.0, 5.0  # of an excerpt; where a training waits for it
EXPLAINED, SIMPLER = 1e-5, 0.5  # share left at which to stop; what is less simple must leave at most that much of it
MOVES = 0.7  # share of what a fixed filter leaves that a moving one leaves at most
AFTER = 0.3  # likewise of a tail after the effect
VARIES = 0.5  # likewise of a gain by blocks, or the fit of a follower is not worth its seconds


@dataclass(frozen=True)
class Diagnosis:
    """The kind of effect that a box is, and its figures.

    Args:
        sentence: all of it.
        kind: of its largest part: filter, echo, reverb, distortion, dynamics, oscillator, periodic filter, following
            filter, digital, or unknown.
        figures: what it does, as numbers by name.
        rows: the table: name and value.
        taps: of the best fixed filter (N,), for the picture.
    """

    sentence: str
    kind: str
    figures: dict[str, float]
    rows: list[tuple[str, str]]
    taps: Tensor

    def __str__(self) -> str:
        width = max(len(name) for name, _ in self.rows)
        return "\n".join([self.sentence, *(f"  {name:<{width}}  {value}" for name, value in self.rows)])


def diagnose(dry: Tensor, wet: Tensor, sample_rate: int, seconds: float = SECONDS) -> Diagnosis:
    """Diagnose a box by excerpts, of so many seconds, of dry and wet (T,), aligned and without latency."""
    x, y = loudest(dry.double(), wet.double(), round(seconds * sample_rate))
    skip, short = skipped(x, sample_rate), short_filter(x, y)
    by_short = filtered(x, short)
    left = share_left(by_short, y, skip)
    linear = explain_by_filter(x, y, sample_rate)
    by_gain = float(x @ y / (x @ x + 1e-30)) * x
    driven = x if share_left(by_gain, y, skip) < 2 * left else by_short
    found = [linear]
    widest = widest_range(dry.double(), wet.double(), round(seconds * sample_rate))
    if linear.unexplained > EXPLAINED:
        found += _nonlinear(x, y, driven, short, widest, left, skip, sample_rate)
    best = min(e.unexplained for e in found)
    chosen = next(e for e in found if SIMPLER * e.unexplained <= max(best, EXPLAINED))
    if (
        chosen.kind in ("filter", "dynamics", "following filter")
        and (closing := explain_by_closing(*widest, sample_rate)) is not None
    ):
        chosen = replace(closing, unexplained=chosen.unexplained)
    parts = [chosen.words]
    if chosen is not linear and chosen.wet is not None and chosen.unexplained > EXPLAINED:
        after = explain_by_tail(chosen.wet, y, sample_rate)
        if after is not None and after.unexplained < AFTER * chosen.unexplained:
            chosen = replace(chosen, unexplained=after.unexplained, figures=after.figures | chosen.figures)
            parts.append(f"then {after.words}")
    rest_db = share_db(chosen.unexplained)
    if rest_db > -6 and len(found) > 1:
        chosen, parts = replace(chosen, kind="unknown"), ["none of the simple kinds of effect"]
    rest = "nothing else above" if rest_db < -20 else "left unexplained:"
    sentence = f"{', '.join(parts)}; {rest} {rest_db:.0f} dB"
    rows = [
        ("linear", f"all but {share_db(linear.unexplained):.0f} dB is explained by a fixed filter"),
        ("gain", f"{linear.figures['gain_db']:+.1f} dB"),
        ("response", response_words(short, x, sample_rate)[0]),
        *((_NAMES.get(e.kind, e.kind), f"{share_db(e.unexplained):.0f} dB left by {e.words}") for e in found[1:]),
        ("unexplained", f"{rest_db:.0f} dB"),
    ]
    return Diagnosis(sentence, chosen.kind, chosen.figures, rows, short)


_NAMES = {"dynamics": "gain by level", "oscillator": "gain in time", "distortion": "curve"}


def _nonlinear(
    x: Tensor,
    y: Tensor,
    driven: Tensor,
    short: Tensor,
    widest: tuple[Tensor, Tensor],
    left: float,
    skip: int,
    sample_rate: int,
) -> list[Explanation]:
    """Explanations by more than a fixed filter, the simplest first, up to one that leaves nothing."""
    digital = explain_by_digits(x, y, skip, sample_rate)
    if digital is not None:
        return [digital]
    found = [explain_by_oscillator(driven, y, skip, sample_rate)]
    if found[-1].unexplained < EXPLAINED:
        return found
    found.append(explain_by_curve(x, y, short, skip, sample_rate))
    if share_left(varying_gain(driven, y, sample_rate), y, skip) < VARIES * left:
        if driven is not x:
            widest = filtered(widest[0], short), widest[1]
        for fitted in (widest, (driven, y)):
            followed = explain_by_level(fitted, driven, y, skip, sample_rate)
            if followed is not None:
                found.append(followed)
                if followed.unexplained < 0.1 * left:
                    break
    for explain in (explain_by_periodic_filter, explain_by_following_filter):
        moving = explain(x, y, skip, sample_rate)
        if moving.unexplained < MOVES:
            found.append(replace(moving, unexplained=moving.unexplained * left))
    return found


def box_sentence(pairs: Sequence[Pair], sample_rate: int) -> str | None:
    """The sentence of a diagnosis, by a short excerpt of the first pair that is long enough; None without any."""
    for pair in pairs:
        if pair.dry.numel() >= BRIEF_S * sample_rate and pair.wet.any():
            return diagnose(pair.dry, pair.wet, sample_rate, BRIEF_S).sentence
    return None


def loudest(dry: Tensor, wet: Tensor, samples: int) -> tuple[Tensor, Tensor]:
    """The stretch in which wet has most energy."""
    stretch = most_energetic(wet, samples)
    start = stretch.storage_offset() - wet.storage_offset()
    return dry[start : start + stretch.numel()], stretch


def widest_range(dry: Tensor, wet: Tensor, samples: int, size: int = 882) -> tuple[Tensor, Tensor]:
    """The stretch in which the level of dry varies most."""
    blocks = dry[: dry.numel() // size * size].view(-1, size)
    level_db = 20 * blocks.abs().amax(1).clamp_min(10 ** (-65 / 20)).log10()
    count = max(2, min(samples // size, len(level_db)))
    start = int(level_db.unfold(0, count, 1).std(1).argmax()) * size
    return dry[start : start + count * size], wet[start : start + count * size]
