"""Alignment of a recorded wet with its dry: transport in whole samples, clock drift, polarity.

The recording is modelled as wet[delay + n (1 + drift)] = polarity * effect(dry)[n]. The delay is where the response of
wet's innovations to dry's begins, rounded down: an effect's own delay, and a fraction of a sample, are left to the
model, and no sample of wet comes before its cause. Of several settings of one box it is where the response peaks, to
a fraction of a sample. Drift is believed only where each part of the recording shows it.

Shapes: N samples of dry, M of wet, K blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fxemu.library.recordings.drift import beyond_doubt, coarse_line, robust_line, slant_stack
from fxemu.library.recordings.innovations import innovations
from fxemu.library.recordings.interpolation import resample
from fxemu.library.recordings.response import (
    BLOCK,
    Drives,
    Starts,
    correlations,
    dependence,
    drives_of,
    loud_starts,
    onset,
    responses,
)

Array = NDArray[np.float64]
SMEARED_PPM, NO_LEAD = 50, 6  # ppm that blur a block; samples by which wet may seem to come first and does not
LATE, WHOLE = 4, 1 / 16  # samples from the delay to a peak that is a transport's; nearness to a whole sample that is it
STACK_REACH, NEAR = 96, 4  # samples around the line that the stack searches, and off it of a block that fits
TAPS, FINER = 12, 32  # on either side of a correlation's peak, and places between its samples
JUMP_REACH, LEAST_JUMP, JUMP_GROUP = 2048, 16, 4  # samples of a step of the delay; blocks taken together


@dataclass(frozen=True)
class Alignment:
    """The place of wet in time against dry.

    delay_samples: transport at the first sample of dry; negative where wet comes first.
    drift_ppm: by how much the recorder's clock runs fast; 0 unless it is beyond doubt.
    polarity: 1, or -1 where wet is upside down.
    dependence: evidence that wet depends on dry (see `response.dependence`); unrelated signals stay below 7.
    jump_samples, jump_at: a lasting step of the delay off its line (0 for none), and the sample of dry where it comes.
    peak_samples: where the response to dry at its first sample peaks, to a few hundredths of a sample.
    """

    delay_samples: float
    drift_ppm: float = 0.0
    polarity: int = 1
    dependence: float = float("inf")
    jump_samples: int = 0
    jump_at: int = 0
    peak_samples: float = float("nan")

    def at_peak(self) -> Alignment:
        """The same with the delay of the peak, to a fraction of a sample; as it is where the response rises slowly.

        Rounding leaves each recording another part of a sample, which no model of several recordings can know. A peak
        at a whole sample has no precursors: the sinc of an interface's converters is zero at all others.
        """
        if not abs(self.peak_samples - self.delay_samples) <= LATE:
            return self
        whole = round(self.peak_samples)
        near = abs(self.peak_samples - whole) < WHOLE and not self.drift_ppm
        return replace(self, delay_samples=whole if near else self.peak_samples)


def align(dry: Tensor, wet: Tensor) -> Alignment:
    """Find delay, drift and polarity of wet (M,) against dry (N,), both at one sample rate.

    Raises:
        ValueError: where either has fewer than 32768 samples, or is silent throughout.
    """
    first = _align(dry, wet)
    if abs(first.drift_ppm) < SMEARED_PPM or first.jump_samples:
        return first
    # Strong drift smears a block: straighten once, align what is left, and add up.
    then = _align(dry, correct(wet, first, dry.numel()))
    rate = 1 + first.drift_ppm * 1e-6
    drift_ppm = (rate * (1 + then.drift_ppm * 1e-6) - 1) * 1e6
    delay, peak = (first.delay_samples + samples * rate for samples in (then.delay_samples, then.peak_samples))
    return replace(then, delay_samples=round(delay), drift_ppm=drift_ppm, peak_samples=peak)


def _align(dry: Tensor, wet: Tensor) -> Alignment:
    x, y = (signal.detach().cpu().numpy().astype(np.float64) for signal in (dry, wet))
    if min(x.size, y.size) < 2 * BLOCK:
        raise ValueError(f"{min(x.size, y.size)} samples are too few to align; at least {2 * BLOCK} are needed")
    if not (x.any() and y.any()):
        raise ValueError(f"{'wet' if x.any() else 'dry'} is silent: there is nothing to align")
    if not (np.ptp(x) and np.ptp(y)):
        raise ValueError(f"{'wet' if np.ptp(x) else 'dry'} is constant: there is nothing to align")
    drives, wet_innovations, starts = drives_of(x), innovations(y), loud_starts(x)
    delay, slope = coarse_line(drives, wet_innovations, starts)
    starts = _within_recording(starts, delay, slope, y.size)
    drive, delay, slope = _line(drives, wet_innovations, starts, delay, slope)
    jump, place = _jump(drive, wet_innovations, starts, round(delay + slope * np.mean(starts)))
    if slope:
        wet_innovations = innovations(resample(y, delay, 1 + slope, x.size))
    blocks = responses(drive, wet_innovations, starts, np.full(starts.size, 0 if slope else round(delay)))
    mean = blocks.mean(0)
    polarity = -1 if drive is drives.plain and mean[np.abs(mean).argmax()] < 0 else 1
    latency = (int(np.floor(delay)) if slope else round(delay)) + onset(blocks)
    latency = 0 if -NO_LEAD <= latency < 0 else latency
    peak = (delay if slope else round(delay)) + float(_peaks(mean[None])[0])
    return Alignment(latency, slope * 1e6, polarity, dependence(blocks), jump, place, peak)


def _within_recording(starts: Starts, delay: float, slope: float, samples: int) -> Starts:
    """The starts whose blocks lie within wet's samples; all of them if there is none."""
    first = starts + delay + slope * starts
    inside = (first >= 0) & (first + BLOCK <= samples)
    return starts[inside] if inside.any() else starts


def _line(drives: Drives, wet: Array, starts: Starts, delay: float, slope: float) -> tuple[Array, float, float]:
    """The drive that wet follows more clearly; its delay to a fraction of a sample, and its slope, 0 if in doubt."""
    centres = starts + BLOCK // 2
    line = np.round(delay + slope * centres).astype(int)
    curves = [correlations(drive, wet, starts, line, STACK_REACH) for drive in drives]
    stacks = [slant_stack(curve, centres) for curve in curves]
    best = int(np.argmax([height for height, *_ in stacks]))
    _, more, tilt = stacks[best]
    found, expected = line + _peaks(curves[best]), line + more + tilt * centres
    near = np.abs(found - expected) < NEAR
    if not near.any():
        return drives[best], float(np.median(expected)), 0.0
    delay, slope = robust_line(centres[near], found[near])
    if beyond_doubt(centres, found, delay, slope):
        return drives[best], delay, slope
    return drives[best], float(np.median(expected)), 0.0


def _peaks(curves: Array) -> Array:
    """Lags (K,) from the middle at which correlations (K, lags) peak, to a fraction of a sample, by a windowed sinc."""
    tops = np.abs(curves).argmax(1).clip(TAPS, curves.shape[1] - 1 - TAPS)
    taps, fine = np.arange(-TAPS, TAPS + 1), np.arange(-FINER, FINER + 1) / FINER
    near = np.take_along_axis(curves, tops[:, None] + taps, 1)
    between = np.abs(near @ (np.sinc(fine - taps[:, None]) * np.hanning(2 * TAPS + 3)[1:-1, None]))
    return tops - curves.shape[1] // 2 + fine[between.argmax(1)]


def _jump(drive: Array, wet: Array, starts: Starts, delay: int) -> tuple[int, int]:
    """The step of the delay in samples, and where in dry; 0 unless two delays fit the song far better than one.

    Four blocks together give a delay that hardly errs; drift makes these delays rise evenly, lost samples once.
    """
    level = np.full(JUMP_GROUP, delay)
    groups = [starts[k : k + JUMP_GROUP] for k in range(0, len(starts) - JUMP_GROUP + 1, JUMP_GROUP)]
    curves = [np.abs(correlations(drive, wet, group, level, JUMP_REACH).sum(0)) for group in groups]
    # Where wet is silent there is no delay.
    groups = [group for group, curve in zip(groups, curves, strict=True) if curve.any()]
    if len(groups) < 4:
        return 0, 0
    curves = np.stack([curve for curve in curves if curve.any()])
    tops = curves.argmax(1) - JUMP_REACH
    drift = np.median(np.diff(tops)) * np.arange(len(tops))
    d = tops - drift
    costs = [_deviation(d[:k]) + _deviation(d[k:]) for k in range(1, len(d))]
    best = int(np.argmin(costs)) + 1
    before, after = np.median(d[:best]), np.median(d[best:])
    found = min(costs) < 0.3 * _deviation(d) and min(costs) < 2 * len(d) and abs(after - before) >= LEAST_JUMP
    elsewhere = drift + np.where(np.arange(len(d)) < best, after, before)
    # A chord's period is as good a delay as its own: on both sides of a jump the other side's delay must be a bad one.
    likeness = _relative_heights(curves, elsewhere) if found else np.ones(len(d))
    clear = max(np.median(likeness[:best]), np.median(likeness[best:])) < 0.7
    return (round(after - before), int(groups[best][0])) if clear else (0, 0)


def _relative_heights(curves: Array, lags: Array) -> Array:
    """Correlations (K, 2 JUMP_REACH + 1) near lags (K,), as shares of their peaks: (K,)."""
    places = np.round(lags + JUMP_REACH).astype(int)[:, None] + np.arange(-1, 2)
    there = np.take_along_axis(curves, places.clip(0, curves.shape[1] - 1), 1).max(1)
    return there / curves.max(1)


def _deviation(d: Array) -> float:
    """The sum of distances from the median, each at most 16 samples."""
    return float(np.minimum(np.abs(d - np.median(d)), 16).sum())


def correct(wet: Tensor, alignment: Alignment, samples: int, flip: bool = False) -> Tensor:
    """Remove transport and drift from wet (M,): float32 (samples,), zero where nothing was recorded.

    Args:
        wet: the recording.
        alignment: as `align` found it.
        samples: length of the dry signal.
        flip: undo an inverted polarity; else it is kept.
    """
    recorded = wet.detach().cpu().numpy()
    if alignment.drift_ppm or alignment.delay_samples % 1:
        step = 1 + alignment.drift_ppm * 1e-6
        aligned = resample(recorded.astype(np.float64), alignment.delay_samples, step, samples)
    else:
        delay = int(alignment.delay_samples)
        before = max(0, -delay)
        recorded = np.pad(recorded, (before, 0))[delay + before :][:samples]
        aligned = np.pad(recorded, (0, samples - recorded.size))
    return torch.from_numpy(aligned.astype(np.float32)) * (alignment.polarity if flip else 1)
