"""A gain that follows the level, in words: compressor, limiter, expander, gate."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from fxemu.engine.streaming.stream import render
from fxemu.errors import FitError
from fxemu.evaluation.diagnosis.explanation import Explanation, in_time, share_left
from fxemu.models.closed_loop import ClosedLoop
from fxemu.models.dynamics import Dynamics
from fxemu.representations import Raw

Array = NDArray[np.float64]
KNEES, ITERATIONS = 2, 20
LOWEST_DB, STEP_DB, HOLD_S = -66.0, 2.0, 0.6  # of the probe: levels, and seconds at each
STEP_S, INSTANT_S = 2.0, 5e-4  # at a level, for attack and release; what releases sooner is a curve
BLOCK_S, BIN_DB, BINS_DB, FEWEST = 0.02, 3.0, np.arange(-66.0, 0.0, 3.0), 4  # blocks whose gain is compared by level
CLOSED_DB, OPEN_DB = 6.0, 2.0  # by which quiet blocks are lower; and what is not yet closed
LIMITS, GATES = 8.0, 5.0  # ratios from which it is a limiter, a gate


def explain_by_level(
    fitted: tuple[Tensor, Tensor], dry: Tensor, wet: Tensor, skip: int, sample_rate: int
) -> Explanation | None:
    """A compressor or expander with an attack and a release, fitted to one (dry, wet), and its error on another.

    None where the gain does not follow the level, hardly changes with it, or changes at once, as that of a curve does.
    """
    model = Dynamics(knees=KNEES, feedback=False)
    try:
        model.fit([fitted], ITERATIONS)
    except FitError:
        return None
    loop = ClosedLoop(model, Raw(), Raw())
    # A loop bounds its output; no recording is louder than this.
    loop.limit.fill_(1e3)
    predicted = render(loop, dry.float()).double()
    levels_db, gains_db = static_curve(loop, float(dry.abs().max()), sample_rate)
    sounding = levels_db > _level_db(fitted[0].abs().quantile(0.1))
    words, figures = curve_words(levels_db[sounding], gains_db[sounding])
    if words is None:
        return None
    attack_s, release_s = step_times(loop, levels_db[sounding][0], levels_db[-1], sample_rate)
    if release_s < INSTANT_S:
        return None
    figures |= {"attack_ms": 1000 * attack_s, "release_ms": 1000 * release_s}
    words = f"{words}, {in_time(attack_s)} and {in_time(release_s)}"
    return Explanation("dynamics", words, share_left(predicted, wet, skip), figures, predicted)


def explain_by_closing(dry: Tensor, wet: Tensor, sample_rate: int) -> Explanation | None:
    """A gate or expander, that takes away what is quiet: an error there is small, so that alone says little of it.

    None where the gain of quiet blocks is not much less than that of loud ones.
    """
    size = round(BLOCK_S * sample_rate)
    x, y = (side[: side.numel() // size * size].view(-1, size) for side in (dry, wet))
    level_db = 20 * x.abs().amax(1).clamp_min(1e-6).log10()
    gain_db = 10 * (y.square().sum(1).clamp_min(1e-14) / x.square().sum(1).clamp_min(1e-14)).log10()
    bins = [(low + BIN_DB / 2, gain_db[(level_db >= low) & (level_db < low + BIN_DB)]) for low in BINS_DB]
    curve = np.array([(level, float(gains.quantile(0.25))) for level, gains in bins if len(gains) >= FEWEST])
    if len(curve) < 6:
        return None
    levels_db, gains_db = curve.T
    loud = float(np.median(gains_db[-6:]))
    closed = gains_db < loud - CLOSED_DB
    if not closed[:2].all() or gains_db[0] > gains_db[-1] - CLOSED_DB:
        return None
    threshold = levels_db[gains_db < loud - OPEN_DB].max() + BIN_DB / 2
    below = (levels_db < threshold) & (gains_db > gains_db.min() + OPEN_DB)
    ratio = 1 + float(np.polyfit(levels_db[below], gains_db[below], 1)[0]) if below.sum() > 2 else math.inf
    name = "a gate" if ratio > GATES else f"an expander, about 1:{ratio:.2g}"
    words = f"{name} below {threshold:.0f} dB, down to {gains_db.min() - loud:.0f} dB"
    return Explanation("dynamics", words, 0.0, {"threshold_db": float(threshold), "ratio": ratio})


def varying_gain(dry: Tensor, wet: Tensor, sample_rate: int) -> Tensor:
    """dry (T,) times the best gain of each block, from one to the next in a line: (T,)."""
    size = round(BLOCK_S * sample_rate)
    both = (F.pad(product, (0, -product.numel() % size)) for product in (dry * wet, dry * dry))
    products, energy = (product.view(-1, size).sum(1) for product in both)
    gains = products / (energy + 1e-6 * energy.mean())
    line = F.interpolate(gains[None, None], scale_factor=size, mode="linear")[0, 0]
    return line[: dry.numel()] * dry


def _level_db(amplitude: Tensor | float) -> float:
    return 20 * math.log10(max(float(amplitude), 1e-6))


def static_curve(loop: ClosedLoop, peak: float, sample_rate: int) -> tuple[Array, Array]:
    """Levels in dBFS up to a peak, and the gain in dB at each once it has settled."""
    levels_db = np.arange(LOWEST_DB, _level_db(peak) + STEP_DB / 2, STEP_DB)
    hold = round(HOLD_S * sample_rate)
    amplitudes = torch.from_numpy(10 ** (levels_db / 20)).float()
    wet = render(loop, amplitudes.repeat_interleave(hold)).view(-1, hold)[:, -1]
    return levels_db, 20 * (wet.abs() / amplitudes).clamp_min(1e-8).log10().double().numpy()


def step_times(loop: ClosedLoop, low_db: float, high_db: float, sample_rate: int) -> tuple[float, float]:
    """Seconds until 63 % of the change of gain in dB, after a step up from a level to another and after one down."""
    low, high = (10 ** (level_db / 20) for level_db in (low_db, high_db))
    hold = round(STEP_S * sample_rate)
    amplitudes = torch.tensor([low, high, low]).repeat_interleave(hold)
    gain_db = 20 * (render(loop, amplitudes).abs() / amplitudes).clamp_min(1e-8).log10().view(3, hold)
    times = []
    for after, before in ((gain_db[1], gain_db[0, -1]), (gain_db[2], gain_db[1, -1])):
        done = (after - before) / (after[-1] - before + 1e-9)
        times.append((int((done > 1 - math.exp(-1)).int().argmax()) + 1) / sample_rate)
    return times[0], times[1]


def curve_words(levels_db: Array, gains_db: Array) -> tuple[str | None, dict[str, float]]:
    """A static curve in words, with threshold and ratio, by the nearest line with one bend; None if it is flat."""
    best = None
    for threshold in np.arange(levels_db[0] + STEP_DB, levels_db[-1], 1.0):
        for above in (True, False):
            over = np.maximum(levels_db - threshold, 0) if above else np.minimum(levels_db - threshold, 0)
            columns = np.stack((np.ones_like(over), over), 1)
            line = np.linalg.lstsq(columns, gains_db, rcond=None)[0]
            error = np.square(columns @ line - gains_db).sum()
            if best is None or error < best[0]:
                best = error, threshold, above, line[1]
    if best is None or np.ptp(gains_db) < 1.0:
        return None, {}
    _, threshold, above, slope = best
    if slope < 0:
        ratio = 1 / max(1 + slope, 0.01)
        name = "a limiter" if ratio > LIMITS else "a compressor"
    else:
        ratio = 1 + slope
        name = "a gate" if ratio > GATES else "an expander"
    shown = f", about {ratio:.2g}:1" if ratio < 20 else ""
    where = "above" if above else "below"
    return f"{name}{shown} {where} {threshold:.0f} dB", {"threshold_db": float(threshold), "ratio": float(ratio)}
