"""The report on a trained emulation: free runs over held-out songs, beside the trivial baselines."""

from __future__ import annotations

import statistics
import time

import torch
from torch import Tensor

from fxemu.effects import Effect
from fxemu.effects.knobs import HELD_OUT, held_out_settings
from fxemu.engine.streaming.stream import render, render_many
from fxemu.evaluation import metrics
from fxemu.evaluation.baselines import best_fir, best_gain, copy_last, outdone
from fxemu.evaluation.measurements.aliasing import aliasing
from fxemu.evaluation.measurements.contraction import contraction, contraction_lines
from fxemu.evaluation.measurements.decay import decay
from fxemu.evaluation.measurements.levels import LISTENED_DB, at_levels, drowned
from fxemu.evaluation.measurements.priming import primed
from fxemu.evaluation.measurements.settings import KnobScores, at_held_out, at_recorded
from fxemu.evaluation.measurements.settings import lines as knob_lines
from fxemu.evaluation.measurements.stability import stability
from fxemu.evaluation.measurements.sweeps import sweep, sweep_stem
from fxemu.evaluation.plots import contraction_curves, first_layer, level_curves, setting_errors
from fxemu.evaluation.publishing import Publisher
from fxemu.evaluation.scores import ContractionScores, Errors, LevelScores, Scores, SongScores
from fxemu.evaluation.validation import teacher_forced_esr
from fxemu.library.pair import Pair
from fxemu.library.songs import file_stem
from fxemu.models.closed_loop import ClosedLoop

FIR_TAPS = 256


def evaluate(
    loop: ClosedLoop,
    train: list[Pair],
    test: list[Pair],
    effect: Effect,
    settings: list[Tensor],
    publisher: Publisher,
) -> Scores:
    """Free-run the test songs from silence; publish sounds and pictures; return the scores.

    Args:
        loop: the trained predictor with its representations.
        train: songs to fit the baselines on.
        test: songs to report on.
        effect: what is emulated, to make the truth at other input levels.
        settings: of its knobs that were trained at, positions (K,); none without knobs.
        publisher: of the run, at the rate of all songs.
    """
    sample_rate = publisher.sample_rate
    turned = _turned(loop, settings, test, effect, publisher) if effect.knobs else None
    # All else with the knobs where they stood in the recordings; of an effect that can be run, at their defaults.
    predictions = render_many([loop.at(song.knobs) for song in test], [song.dry for song in test])
    teacher_forced, loop = teacher_forced_esr(loop, test), loop.at(test[0].knobs)
    limit = float(loop.limit)
    for song, prediction in zip(test, predictions, strict=True):
        publisher.song(song, prediction, limit)
    levels = _levels(loop, test, effect, publisher) if effect.replayable else []
    contracting = _contraction(loop, test[:1] if turned else test, effect, publisher)
    if (figure := first_layer(loop.plan(), sample_rate)) is not None:
        publisher.picture(figure, "first_layer")
    pairs = [(p, song.wet) for p, song in zip(predictions, test, strict=True)]
    songs = [_song_scores(song.name, *pair, limit) for song, pair in zip(test, pairs, strict=True)]
    errors, baselines = _errors_over_all(pairs, sample_rate), _baseline_scores(train, test)
    return Scores(
        **errors,
        esr_median=statistics.median(song.esr for song in songs),
        esr_worst=max(song.esr for song in songs),
        teacher_forced_esr=teacher_forced,
        divergences=sum(metrics.diverged(p, limit) for p in predictions),
        realtime_factor=realtime_factor(loop, test[0].dry[: 10 * sample_rate], sample_rate),
        baselines=baselines,
        outdone=outdone(errors["esr"], {name: scores.esr for name, scores in baselines.items()}),
        levels=levels,
        drowned=drowned(levels),
        primed=primed(loop, test[0], effect, sample_rate),
        decay=decay(loop, effect, sample_rate) if effect.replayable else None,
        contraction=contracting,
        aliasing=None if loop.periodic else aliasing(loop, effect, sample_rate),
        stability=stability(loop, test[0].dry[: 2 * sample_rate], sample_rate),
        songs=songs,
        knobs=turned,
    )


def _turned(
    loop: ClosedLoop, trained: list[Tensor], test: list[Pair], effect: Effect, publisher: Publisher
) -> KnobScores | None:
    """Errors at settings not trained at, with their picture (None: there are none), and the sound of each knob."""
    for number, knob in enumerate(effect.knobs):
        publisher.sounds(sweep_stem(knob.name), sweep(loop, test[0], effect, number, publisher.sample_rate))
    if effect.turnable:
        settings = held_out_settings(HELD_OUT, len(effect.knobs), seed=0)
        scores = at_held_out(loop, test, effect, publisher.sample_rate, settings, trained)
    else:
        scores = at_recorded(loop, test, effect.knobs, trained)
    if scores is not None:
        errors = [(score.values, score.esr, score.nearest_esr) for score in scores.settings]
        publisher.picture(setting_errors(effect.knobs, errors), "settings")
    return scores


def _song_scores(name: str, prediction: Tensor, target: Tensor, limit: float) -> SongScores:
    esr, nmae = metrics.esr(prediction, target), metrics.nmae(prediction, target)
    return SongScores(name, esr, nmae, metrics.samples_to_divergence(prediction, limit))


def _errors_over_all(pairs: list[tuple[Tensor, Tensor]], sample_rate: int) -> dict[str, float]:
    """Error measures over all songs together, (prediction, target) of (samples,) each, by their names in `Scores`."""
    prediction, target = metrics.over_all(pairs)
    return {
        "esr": metrics.esr(prediction, target),
        "nmae": metrics.nmae(prediction, target),
        "inverted_esr": metrics.inverted_esr(prediction, target),
        "esr_preemphasis": metrics.esr(metrics.preemphasis(prediction), metrics.preemphasis(target)),
        "esr_a_weighted": metrics.a_weighted_esr(prediction, target, sample_rate),
        "esr_treble": metrics.treble_esr(prediction, target, sample_rate),
        "treble_level_db": metrics.treble_level_db(prediction, target, sample_rate),
        "loudness_error_lu": metrics.loudness_error_lu(prediction, target, sample_rate),
        "gain_error_db": metrics.gain_error_db(prediction, target),
        "dc": metrics.dc(prediction, target),
        "mrstft": metrics.mrstft(prediction, target),
    }


def realtime_factor(loop: ClosedLoop, dry: Tensor, sample_rate: int) -> float:
    """Seconds of audio that one core renders in a second, the best of three."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        render(loop, dry[:1024])
        seconds = min(_seconds(loop, dry) for _ in range(3))
    finally:
        torch.set_num_threads(threads)
    return dry.numel() / sample_rate / seconds


def _seconds(loop: ClosedLoop, dry: Tensor) -> float:
    start = time.perf_counter()
    render(loop, dry)
    return time.perf_counter() - start


def _baseline_scores(train: list[Pair], test: list[Pair]) -> dict[str, Errors]:
    pairs = [(song.dry, song.wet) for song in train]
    fitted = {
        "copy_last": copy_last,
        "gain": best_gain(pairs),
        "fir": best_fir(pairs, FIR_TAPS),
    }
    scores = {}
    for name, baseline in fitted.items():
        prediction, target = metrics.over_all((baseline(song.dry, song.wet), song.wet) for song in test)
        scores[name] = Errors(metrics.esr(prediction, target), metrics.nmae(prediction, target))
    return scores


def _levels(loop: ClosedLoop, test: list[Pair], effect: Effect, publisher: Publisher) -> list[LevelScores]:
    """Scores by input level, with their plot, and the sound of a quiet input."""
    scores, sounds = at_levels(loop, test, effect, publisher.sample_rate)
    publisher.picture(level_curves({"model": {score.level_db: score.esr for score in scores}}), "levels", "levels/esr")
    for pair, prediction in sounds:
        kinds = {"dry": pair.dry, "target": pair.wet, "prediction": prediction}
        publisher.sounds(f"{file_stem(pair.name)}{LISTENED_DB}dB", kinds)
    return scores


def _contraction(loop: ClosedLoop, test: list[Pair], effect: Effect, publisher: Publisher) -> ContractionScores | None:
    """How fast free runs from wrong pasts come together, with their plot; None where there is nothing to tell."""
    if (found := contraction(loop, test, effect, publisher.sample_rate)) is None:
        return None
    scores, curves = found
    publisher.picture(contraction_curves(curves), "contraction")
    return scores


BASELINES = {
    "copy_last": "copy-last (uses the true past)",
    "gain": "best constant gain",
    "fir": f"best FIR ({FIR_TAPS} taps)",
}


def table(scores: Scores) -> str:
    """The scores as lines to print: the model beside the baselines, each with ESR and NMAE."""

    def line(name: str, esr: float, nmae: float | None = None) -> str:
        share = "" if nmae is None else f" {nmae:>9.2%}" if nmae < 100 else f" {nmae:>9.1e}"
        return f"{name:<42}{esr:>12.2e}{share}"

    baselines = {name: scores.baselines[key] for key, name in BASELINES.items()}
    lines = [
        f"{'held-out songs':<42}{'ESR':>12}{'NMAE':>10}",
        line("model, free run", scores.esr, scores.nmae),
        line("  teacher forced (uses the true past)", scores.teacher_forced_esr),
        *(line(name, errors.esr, errors.nmae) for name, errors in baselines.items()),
        f"single-stream render: {scores.realtime_factor:.0f}x real time on one core",
    ]
    if scores.knobs is not None:
        lines += knob_lines(scores.knobs)
    if scores.levels:
        lines += [
            f"{'input level (dBFS)':<21}" + "".join(f"{level.level_db:>9}" for level in scores.levels),
            f"{'ESR at that level':<21}" + "".join(f"{level.esr:>9.1e}" for level in scores.levels),
        ]
    lines += [
        f"ESR after pre-emphasis {scores.esr_preemphasis:.1e}, A-weighted {scores.esr_a_weighted:.1e}, "
        f"above {metrics.TREBLE_HZ / 1000:.0f} kHz {scores.esr_treble:.1e}; MR-STFT {scores.mrstft:.3f}",
        f"gain curve off by {scores.gain_error_db:.2f} dB, loudness by {scores.loudness_error_lu:+.2f} LU",
    ]
    if (tail := scores.decay) is not None:
        model = "never" if tail.model_s is None else f"in {tail.model_s:.2f} s ({tail.error:.1%} off)"
        lines.append(f"a burst of noise falls by 60 dB in {tail.effect_s:.2f} s, the model's {model}")
    if scores.primed:
        lines += [
            f"{'from within a song, primed (s)':<30}" + "".join(f"{run.primed_s:>9}" for run in scores.primed),
            f"{'ESR after that':<30}" + "".join(f"{run.esr:>9.1e}" for run in scores.primed),
        ]
    lines += contraction_lines(scores.contraction)
    if (found := scores.aliasing) is not None:
        own = "" if found.effect_db is None else f" (the effect's own: {found.effect_db:.0f} dB)"
        lines.append(f"aliasing of notes from 1 to 5 kHz: {found.model_db:.0f} dB{own}")
    forgets_ms = scores.stability.forgets_ms
    lines.append(
        "a disturbed history is forgotten " + ("never" if forgets_ms is None else f"after {forgets_ms:.1f} ms")
    )
    if scores.outdone:
        lines.append(f"NO BETTER THAN NO MODEL: {scores.outdone}")
    if scores.drowned:
        lines.append(f"LOST WHERE IT IS QUIET: {scores.drowned}")
    if scores.inverted_esr < scores.esr:
        lines.append(f"POLARITY: the output is upside down; inverted its ESR would be {scores.inverted_esr:.2e}")
    if scores.divergences:
        lines.append(f"DIVERGED on {scores.divergences} song(s): the free run ended stuck at its limit")
    return "\n".join(lines)
