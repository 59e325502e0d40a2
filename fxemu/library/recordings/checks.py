"""Checks of a pair of recordings: each fault in a sentence that says what to do about it.

Shapes: N samples of dry, M of wet; both float32 mono at one sample rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fxemu.library.recordings.alignment import Alignment, align, correct
from fxemu.library.recordings.gaps import cause_of, gaps, missing_ends
from fxemu.library.recordings.noise import QUIET, blocks_of, hum_hz, noise_in_silence, steady_noise

LEAST_DEPENDENCE = 8.0  # unrelated signals stay below
MOST_LEAD_S = 1e-3
SHORTEST_SHARE = 0.9
LOW = 0.03  # -30 dBFS
FULL_SCALE = 0.985  # beyond it, three equal samples in a row are clipping
EXPANDED = 4.0  # slope of wet over dry near dry's peak, as a multiple of that at half of it
BYPASSED = 1e-4  # share that is left of a wet that is dry


@dataclass(frozen=True)
class Finding:
    """One result of the checks: `refused` stops a training, `warning` costs accuracy, `note` is information."""

    kind: Literal["refused", "warning", "note"]
    text: str

    def __str__(self) -> str:
        return f"  {self.kind:<7}  {self.text}"


@dataclass(frozen=True)
class PairReport:
    """All findings on a pair, and its alignment (None where there is none)."""

    findings: tuple[Finding, ...]
    alignment: Alignment | None

    @property
    def refused(self) -> bool:
        """True if some finding refuses the pair."""
        return any(finding.kind == "refused" for finding in self.findings)

    def __str__(self) -> str:
        return "\n".join(map(str, self.findings))


def check_pair(dry: Tensor, wet: Tensor, sample_rate: int) -> PairReport:
    """Check and align wet (M,) as a recording of an effect of dry (N,)."""
    findings = [*_level("dry", dry), *_level("wet", wet), *_lengths(dry, wet, sample_rate)]
    try:
        alignment = align(dry, wet)
    except ValueError as error:
        return PairReport((*findings, Finding("refused", str(error))), None)
    findings += _timing(alignment, sample_rate)
    if alignment.dependence >= LEAST_DEPENDENCE:
        aligned = correct(wet, alignment, dry.numel())
        findings += [
            *_swap(dry, aligned),
            *_noise(dry, aligned, sample_rate),
            *_gaps(dry, wet, alignment, sample_rate),
            *_bypassed(dry, aligned),
            *_repeats(dry, aligned, sample_rate),
        ]
    return PairReport(tuple(findings), alignment)


def db(ratio: float) -> float:
    """20 log10 of a ratio of amplitudes, -200 at least."""
    return 20 * math.log10(max(ratio, 1e-10))


def _level(name: str, x: Tensor) -> list[Finding]:
    """Findings on clipping and DC."""
    findings, peak = [], float(x.abs().max()) if x.numel() else 0.0
    if peak > 1.001:
        findings.append(
            Finding("note", f"{name} peaks at {db(peak):+.1f} dBFS: a file of floats keeps that, others clip")
        )
    elif 0 < peak < LOW:
        findings.append(Finding("note", f"{name} peaks at {db(peak):+.1f} dBFS: record louder, if noise is in it"))
    at_peak = x.abs() >= 0.9999 * peak
    clipped = int((at_peak[2:] & at_peak[1:-1] & at_peak[:-2]).sum()) if peak > FULL_SCALE else 0
    if clipped:
        cure = "lower the interface's input gain and record again" if name == "wet" else "the effect was fed distortion"
        findings.append(Finding("warning", f"{name} clips in {clipped} places at full scale: {cure}"))
    offset = float(x.mean()) if x.numel() else 0.0
    if abs(offset) > 0.003 * max(1.0, peak):
        text = f"{name} has a DC offset of {offset:+.4f} ({db(abs(offset)):.0f} dBFS): the model will learn it"
        findings.append(Finding("warning", f"{text}; take it out with a high-pass if it is the interface's"))
    return findings


def _lengths(dry: Tensor, wet: Tensor, sample_rate: int) -> list[Finding]:
    """Findings on unlike lengths: a wrong sample rate, or a recording that was cut off."""
    share = wet.numel() / max(dry.numel(), 1)
    seconds = f"dry lasts {dry.numel() / sample_rate:.1f} s and wet {wet.numel() / sample_rate:.1f} s"
    for fast, slow in ((48_000, 44_100), (96_000, 48_000), (88_200, 44_100), (96_000, 44_100)):
        if any(abs(share / ratio - 1) < 0.002 for ratio in (fast / slow, slow / fast)):
            text = f"{seconds}, as {fast} Hz is to {slow} Hz: one file says a wrong sample rate, or one is cut off"
            return [Finding("refused", f"{text}; export it again")]
    if share < SHORTEST_SHARE:
        return [Finding("refused", f"{seconds}: the recording is cut off, or is of something else; record it again")]
    return []


def _timing(alignment: Alignment, sample_rate: int) -> list[Finding]:
    """Findings on dependence, latency, drift, lost samples and polarity."""
    if alignment.dependence < LEAST_DEPENDENCE:
        text = (
            f"wet does not depend on dry (evidence {alignment.dependence:.1f}, needed {LEAST_DEPENDENCE:g}): "
            "another take, the wrong file, or an effect that shifts every frequency"
        )
        return [Finding("refused", f"{text}; check the files")]
    if alignment.jump_samples:
        text = f"the delay jumps by {alignment.jump_samples:+.0f} samples near {alignment.jump_at / sample_rate:.1f} s"
        return [Finding("refused", f"{text}: the interface lost audio; raise its buffer and record again")]
    delay, findings = alignment.delay_samples, []
    if delay < -MOST_LEAD_S * sample_rate:
        lead_ms = -1000 * delay / sample_rate
        text = f"wet comes {lead_ms:.1f} ms before dry: they are swapped, dry was trimmed, or it is another take"
        findings.append(Finding("refused", f"{text}; give them the other way round, trim both alike, or record again"))
    else:
        text = f"latency {delay} samples ({1000 * delay / sample_rate:.2f} ms): taken out"
        findings.append(Finding("note", f"{text}; the effect's own delay is left to the model"))
    findings += _drift(alignment.drift_ppm)
    if alignment.polarity < 0:
        text = "wet is upside down (inverted polarity): kept as part of the effect; effect.flip=true turns it round"
        findings.append(Finding("warning", text))
    return findings


def _drift(ppm: float) -> list[Finding]:
    """The finding on clock drift that is beyond doubt."""
    if not ppm:
        return []
    text = f"clock drift {ppm:+.1f} ppm ({abs(ppm) * 0.06:.2f} ms in a minute): taken out"
    if abs(ppm) <= 300:
        return [Finding("note", text)]
    return [Finding("warning", f"{text}; a tape, or two devices without a common clock")]


def _swap(dry: Tensor, wet: Tensor) -> list[Finding]:
    """The finding that dry and wet are swapped: a clipper's input determines its output, but not the reverse."""
    forth, back = _unexplained(dry, wet), _unexplained(wet, dry)
    if back < 0.02 and forth > 10 * back:
        text = f"dry looks like a distortion of wet (unexplained {forth:.3f} one way, {back:.3f} the other)"
        return [Finding("refused", f"{text}: they are swapped; give them the other way round")]
    if forth < 0.02 and _expansion(dry, wet) > EXPANDED:
        text = "wet rises faster the louder dry is, as dry does over a wet that is distorted"
        return [Finding("warning", f"{text}: are they swapped? Then give them the other way round")]
    return []


def _unexplained(given: Tensor, predicted: Tensor) -> float:
    """Share of the variance of `predicted` that the value of `given` does not explain, in bins of equal width."""
    low, high = given.min(), given.max()
    place, mean = _binned((given - low) / (high - low + 1e-12), predicted)
    return float((predicted.double() - mean[place]).square().mean() / (predicted.double().var() + 1e-300))


def _binned(given: Tensor, predicted: Tensor, bins: int = 512) -> tuple[Tensor, Tensor]:
    """The bin of each sample of `given`, which are from 0 to 1, and the mean of `predicted` in each bin."""
    place = (given * (bins - 1)).long()
    count = torch.bincount(place, minlength=bins).clamp(min=1)
    return place, torch.bincount(place, predicted.double(), minlength=bins) / count


def _expansion(dry: Tensor, wet: Tensor) -> float:
    """Slope of the magnitude of wet over that of dry near dry's peak, as a multiple of the slope at half of it.

    0 where no sample has one of these levels.
    """
    # Where the top of dry is flat, few samples lie below it.
    level, bins = dry.abs() / (dry.abs().max() + 1e-12), 64
    place, mean = _binned(level, wet.abs(), bins)
    if torch.bincount(place, minlength=bins)[[26, 36, -6, -1]].min() == 0:
        return 0.0
    top, middle = mean[-1] - mean[-6], mean[36] - mean[26]
    return float(top / 5 / (middle / 10).clamp(min=1e-12)) if middle > 0 else 0.0


def _noise(dry: Tensor, wet: Tensor, sample_rate: int) -> list[Finding]:
    """The finding on noise: wet where dry has been silent for 0.2 s, or its steady part, against its loudest tenth."""
    blocks = blocks_of(wet, sample_rate)
    loud = blocks[: dry.numel() // blocks.shape[1]][blocks_of(dry, sample_rate).abs().amax(1) >= QUIET]
    loudness = db(float(loud.std(1).quantile(0.9)) if len(loud) else 1.0)
    noise = noise_in_silence(dry, wet, sample_rate)
    floor = steady_noise(wet, sample_rate) if noise is None else float(noise.square().mean(1).median().sqrt())
    unknown = "dry is never silent for 0.2 s, so the noise floor is unknown; begin with silence"
    if floor is None or (noise is None and db(floor) < loudness - 50):
        return [Finding("note", unknown)]
    ratio = db(floor) - loudness
    text = f"noise floor {db(floor):.0f} dBFS, {-ratio:.0f} dB below the music"
    text += f": no model gets below ESR {10 ** (ratio / 10):.0e}"
    hum = 0 if noise is None else hum_hz(noise.reshape(-1), sample_rate)
    if hum:
        text += f"; most of it is {hum} Hz hum: look for a ground loop"
    return [Finding("warning" if ratio > -50 else "note", text)]


def _gaps(dry: Tensor, wet: Tensor, alignment: Alignment, sample_rate: int) -> list[Finding]:
    """The findings on silence of wet amid loud music, in one line, and at its ends."""
    ends = [
        Finding("warning", f"wet is silent from {first / sample_rate:.2f} to {end / sample_rate:.2f} s, while dry "
                "plays: left out; was the recording begun late, or cut off?")
        for first, end in missing_ends(dry, wet, alignment, sample_rate)
    ]  # fmt: skip
    found = gaps(dry, wet, alignment, sample_rate)
    if not found:
        return ends
    first, total = found[0][0] / sample_rate, sum(end - start for start, end in found) / sample_rate
    times = f"{len(found)} times, {total:.2f} s in all," if len(found) > 1 else f"for {1000 * total:.0f} ms"
    match cause_of(found, dry):
        case "level":
            text = f"wet is silent {times} where dry is quiet, from {first:.2f} s: part of the effect"
        case "period":
            text = f"wet is silent {times} at a steady rate, from {first:.2f} s: part of the effect"
        case _:
            when = "at" if len(found) == 1 else "first at"
            text = f"wet drops out {times} {when} {first:.2f} s: left out; raise the interface's buffer"
            return [*ends, Finding("warning", text)]
    return [*ends, Finding("note", text)]


def _bypassed(dry: Tensor, wet: Tensor) -> list[Finding]:
    """The finding that wet is dry, at a gain."""
    dry, wet = dry.double(), wet.double()
    gain = float(dry @ wet / (dry @ dry + 1e-300))
    if float((wet - gain * dry).norm()) > BYPASSED * float(wet.norm()):
        return []
    kind = "refused" if abs(abs(gain) - 1) < 0.01 else "warning"
    return [
        Finding(kind, f"wet is dry at {db(abs(gain)):+.1f} dB: the effect was bypassed, or it is the same file twice")
    ]


def _repeats(dry: Tensor, wet: Tensor, sample_rate: int) -> list[Finding]:
    places = find_repeat(dry, sample_rate)
    return [] if places is None else [repeatability(wet, *places, sample_rate)]


def find_repeat(dry: Tensor, samples: int, decimation: int = 8) -> tuple[int, int, int] | None:
    """Repeated segment of dry, equal to the last bit: its two places and its length `samples`; None if none."""
    low = torch.nn.functional.avg_pool1d(dry[None], decimation)[0].double()
    length = samples // decimation
    spectrum = torch.fft.rfft(low, 2 * low.numel())
    energy = torch.nn.functional.pad(low.square().cumsum(0), (1, 0))
    for first in range(0, low.numel() - 2 * length, max(length, low.numel() // 32)):
        piece = low[first : first + length]
        if piece.square().mean() < 1e-2 * low.square().mean():
            continue
        match = torch.fft.irfft(spectrum * torch.fft.rfft(piece, 2 * low.numel()).conj(), 2 * low.numel())
        norm = (energy[length:] - energy[:-length]).clamp(min=1e-12).sqrt() * piece.norm()
        likeness = match[: norm.numel()] / norm
        likeness[: first + length] = 0
        second = int(likeness.argmax())
        for shift in range(-decimation, decimation + 1) if likeness[second] > 0.8 else ():
            a, b = first * decimation, second * decimation + shift
            if b + samples <= dry.numel() and torch.equal(dry[a : a + samples], dry[b : b + samples]):
                return a, b, samples
    return None


def repeatability(wet: Tensor, first: int, second: int, samples: int, sample_rate: int) -> Finding:
    """The finding on wet at two places where dry is the same: no model can learn the difference."""
    a, b = wet[first : first + samples].double(), wet[second : second + samples].double()
    # Half of the difference's energy, since both takes deviate alike.
    error = float((a - b).square().sum() / (a.square().sum() + b.square().sum() + 1e-300))
    where = f"dry repeats at {first / sample_rate:.1f} s and {second / sample_rate:.1f} s"
    text = f"{where}, and wet differs by {10 * math.log10(error + 1e-20):.0f} dB: no model gets below ESR {error:.0e}"
    kind = "warning" if error > 1e-3 else "note"
    return Finding(kind, text + ("; noise, a modulation, or a knob that was moved" if kind == "warning" else ""))
