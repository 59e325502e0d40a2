"""Contraction: whether free runs over the same audio, begun from different pasts, come together, and how fast."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fxemu.effects import Effect
from fxemu.engine.contraction import contraction_bound
from fxemu.engine.streaming.stream import render_many
from fxemu.evaluation import metrics
from fxemu.evaluation.scores import ContractionScores, PastScores
from fxemu.library.pair import Pair
from fxemu.models.closed_loop import ClosedLoop

# What bounds the cost: so many stretches, spread over the songs, each after a past.
STRETCHES, STRETCH_S, PAST_S = 9, 4.0, 1.0
BLOCK_S = 0.01
# Runs are together when their difference is this far below the effect's output, block by block, until the end.
TOGETHER_DB = -60.0
# An output this far below its own mean power is not a measure of anything.
QUIET = 1e-3
# Share of a stretch in which a run may still recover from its past; errors count after it.
RECOVERY = 0.25
# Worst over best error above which a past still matters, and errors too small to compare.
MOST_RATIO, LEAST_ESR = 1.2, 1e-6


@dataclass(frozen=True)
class Runs:
    """Free runs over the same stretches from several pasts.

    Args:
        names: of the pasts.
        outputs: (stretches, pasts, samples).
        reference: the run from the true past (stretches, samples).
        target: the effect's output in the song (stretches, samples).
        own: the effect's output after each past, (stretches, pasts, samples); the target where it is not known.
        sample_rate: in Hz.
    """

    names: Sequence[str]
    outputs: Tensor
    reference: Tensor
    target: Tensor
    own: Tensor
    sample_rate: int

    def apart(self) -> Tensor:
        """Power of the difference from the reference over the target's (stretches, pasts, blocks of BLOCK_S)."""
        size = max(1, round(BLOCK_S * self.sample_rate))
        difference, target = (_power(x, size) for x in (self.outputs - self.reference[:, None], self.target[:, None]))
        return difference / target.clamp_min(QUIET * target.mean(-1, keepdim=True) + metrics.EPSILON)

    def scores(self) -> PastScores:
        """The figures, see `PastScores`."""
        threshold = 10 ** (TOGETHER_DB / 10)
        times = [_together_s(run > threshold) for run in self.apart().flatten(0, 1)]
        tail, counted = (slice(round(share * self.target.shape[-1]), None) for share in (0.75, RECOVERY))
        left = _energy(self.outputs[..., tail] - self.reference[:, None, tail]) / _energy(self.target[:, None, tail])
        missed = (self.outputs - self.target[:, None], self.outputs - self.own)
        # A past may be forgotten, or remembered as the effect remembers it.
        wrong = torch.minimum(*(_energy(x[..., counted]) for x in missed))
        errors = torch.cat((_energy((self.reference - self.target)[:, None, counted]), wrong), dim=1)
        power = _energy(self.target[:, counted]).sum()
        worst, best = float(errors.amax(1).sum() / power), float(errors.amin(1).sum() / power)
        return PastScores(
            median_s=_finite(statistics.median(times)),
            worst_s=_finite(max(times)),
            left_db=float(10 * (left.max() + metrics.EPSILON).log10()),
            esr=dict(zip(("the true past", *self.names), (errors.sum(0) / power).tolist(), strict=True)),
            esr_worst=worst,
            esr_best=best,
            worst_over_best=(worst + LEAST_ESR) / (best + LEAST_ESR),
        )


def contraction(
    loop: ClosedLoop, songs: list[Pair], effect: Effect, sample_rate: int
) -> tuple[ContractionScores, dict[str, Tensor]] | None:
    """Free-run stretches of the songs from wrong pasts, and ask the effect the same where it can be asked.

    A past is audio that the predictor is given as dry and as its own wet before the stretch, so that windows and hidden
    states begin wrong; the effect processes its dry before the stretch.

    Returns:
        the scores, and `Runs.apart` by name: of the model, and of the effect but for recordings. None altogether for
        an effect or a model with an oscillator, whose phase the past decides.
    """
    if effect.rate_hz is not None or loop.periodic:
        return None
    shortest = min(song.dry.numel() for song in songs)
    past = min(round(PAST_S * sample_rate), shortest // 2)
    length = min(round(STRETCH_S * sample_rate), shortest - past)
    true, stretches, wrong = [], [], []
    for i, song in enumerate(spread := [songs[i % len(songs)] for i in range(STRETCHES)]):
        start = round((song.dry.numel() - past - length) * (i + 0.5) / STRETCHES)
        parts = [slice(start, start + past), slice(start + past, start + past + length)]
        before, part = (Pair(song.name, song.dry[p], song.wet[p]) for p in parts)
        true.append(before)
        stretches.append(part)
        wrong.append(wrong_pasts(spread[i - 1].start(past), float(loop.limit)))
    dries, target = [part.dry for part in stretches], torch.stack([part.wet for part in stretches])
    names = list(wrong[0])

    pasts, driven = [given[name] for given in wrong for name in names], [dry for dry in dries for _ in names]
    same = target[:, None].expand(-1, len(names), -1)

    def model(dries: list[Tensor], pasts: list[Pair]) -> Tensor:
        return torch.stack(render_many(loop, dries, after=[(past.dry, past.wet) for past in pasts]))

    reference, outputs, own = model(dries, true), model(driven, pasts).view_as(same), None
    if effect.replayable:
        pairs = zip(pasts, driven, strict=True)
        own = torch.stack([effect_after_past(effect, past, dry, sample_rate) for past, dry in pairs]).view_as(same)
    found = {"model": Runs(names, outputs, reference, target, same if own is None else own, sample_rate)}
    if own is not None:
        found["effect"] = Runs(names, own, target, target, same, sample_rate)
    scores = [found[name].scores() if name in found else None for name in ("model", "effect")]
    bound = contraction_bound(loop.plan())
    guaranteed_s = None if bound is None else bound.samples() / sample_rate
    apart = {name: each.apart() for name, each in found.items()}
    return ContractionScores(*scores, warning(*scores), guaranteed_s), apart


def wrong_pasts(other: Pair, limit: float) -> dict[str, Pair]:
    """Pasts by name, as long as `other`: silence, other music, both limits held, white noise as loud as the music."""
    silence, held = torch.zeros_like(other.dry), torch.ones_like(other.dry)
    noise = torch.randn(2, held.numel(), generator=torch.Generator().manual_seed(0))
    dry_noise, wet_noise = (n * x.square().mean().sqrt() for n, x in zip(noise, (other.dry, other.wet), strict=True))
    return {
        "silence": Pair("silence", silence, silence),
        "another song": other,
        "+limit": Pair("+limit", held, limit * held),
        "-limit": Pair("-limit", -held, -limit * held),
        "noise": Pair("noise", dry_noise.clamp(-1, 1), wet_noise.clamp(-limit, limit)),
    }


def effect_after_past(effect: Effect, past: Pair, dry: Tensor, sample_rate: int) -> Tensor:
    """The effect's wet for `dry` (samples,), having processed a past before it."""
    return effect(torch.cat((past.dry, dry)), sample_rate)[past.dry.numel() :]


def warning(model: PastScores, effect: PastScores | None) -> str | None:
    """Warning of a model that can sit in a wrong state, in a sentence; the effect's own memory is excused."""
    apart = model.worst_s is None and (effect is None or effect.worst_s is not None)
    excess = model.esr_worst - (0.0 if effect is None else effect.esr_worst)
    if not apart and excess <= MOST_RATIO * model.esr_best + LEAST_ESR:
        return None
    how = "stays apart" if apart else "comes back late"
    return (
        f"the model can sit in a wrong state: begun from another past it {how} "
        f"(ESR {model.esr_worst:.1e} against {model.esr_best:.1e}), and loud music may do the same; "
        "longer rollouts train against it (chunks and length of training.stages)"
    )


def contraction_lines(scores: ContractionScores | None) -> list[str]:
    """The figures as lines to print, the model's beside the effect's; none where there are none."""
    if scores is None:
        return []
    columns = [column for column in (scores.model, scores.effect) if column is not None]

    def line(name: str, *texts: str) -> str:
        return f"{name:<42}" + "".join(f"{text:>12}" for text in texts)

    def seconds(found: float | None) -> str:
        return "never" if found is None else f"{found:.2f} s"

    lines = [
        line("free runs from wrong pasts", *["model", "effect"][: len(columns)]),
        line("  together (-60 dB), median", *(seconds(column.median_s) for column in columns)),
        line("  together (-60 dB), worst", *(seconds(column.worst_s) for column in columns)),
        line("  apart at the end, worst", *(f"{column.left_db:.0f} dB" for column in columns)),
        line("  ESR, worst past over best", f"{scores.model.worst_over_best:.2f}"),
    ]
    if scores.guaranteed_s is not None:
        lines.append(line("  guaranteed by the weights (-60 dB)", seconds(scores.guaranteed_s)))
    return lines + ([f"WRONG STATE: {scores.warning}"] if scores.warning else [])


def _energy(x: Tensor) -> Tensor:
    """Sum of squares over time, above 0."""
    return x.double().square().sum(-1) + metrics.EPSILON


def _power(x: Tensor, size: int) -> Tensor:
    """Mean square (..., blocks) of blocks of so many samples."""
    return x[..., : x.shape[-1] // size * size].unflatten(-1, (-1, size)).double().square().mean(-1)


def _together_s(apart: Tensor) -> float:
    """Seconds until no block (blocks,) is apart any more; infinite if the last one is."""
    last = apart.nonzero()
    blocks = int(last[-1]) + 1 if last.numel() else 0
    return float("inf") if blocks == apart.numel() else blocks * BLOCK_S


def _finite(seconds: float) -> float | None:
    return None if seconds == float("inf") else seconds
