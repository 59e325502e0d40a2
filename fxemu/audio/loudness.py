"""A song's format, peak, loudness and share of silence, measured in one pass over its file."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fxemu.audio.channels import Array
from fxemu.audio.decoding import opened, reason
from fxemu.audio.source import AudioError

SILENT_DB = -60.0


@dataclass(frozen=True)
class Measurement:
    """Measurements of a song's mono mix at its own rate.

    Attributes:
        duration_s: as decoded.
        rate, channels, codec: of the file, the rate in Hz.
        peak: largest absolute sample, full scale 1.
        loudness_lufs: integrated loudness; None if all of the song is below -70 LUFS.
        silence: share of tenths of a second whose RMS is below -60 dBFS, 0 to 1.
        tags: the file's metadata by name, those of `decoding.TAGS`.
        damage: the part of a usable file that could not be decoded, in words.
        error: why the song cannot be used; None for one that can.
    """

    duration_s: float = 0.0
    rate: int = 0
    channels: int = 0
    codec: str = ""
    peak: float = 0.0
    loudness_lufs: float | None = None
    silence: float = 0.0
    tags: dict[str, str] = field(default_factory=dict)
    damage: str | None = None
    error: str | None = None


def measure(path: str | os.PathLike[str]) -> Measurement:
    """Measure a whole song, block by block: no more than a few seconds of it are in memory."""
    try:
        with opened(path) as source:
            facts = {"rate": source.rate, "channels": source.channels, "codec": source.codec, "tags": source.tags}
            meter = Meter(source.rate)
            for _, mono in source.blocks():
                meter.add(mono)
            return meter.result(facts, source.damage)
    except AudioError as error:
        return Measurement(error=reason(path, error))


def loudness_lufs(mono: Array, rate: int) -> float | None:
    """Integrated loudness of samples (any,) at `rate` Hz in LUFS; None if they are silent or below -70 LUFS."""
    meter = Meter(rate)
    meter.add(mono)
    return meter.result({}, None).loudness_lufs


class Meter:
    """Running measurement of a song at `rate` Hz, from its samples in order; powers are of tenths of a second."""

    def __init__(self, rate: int) -> None:
        self.rate, self.span = rate, rate // 10
        self.weights = k_weighting(np.fft.rfftfreq(self.span, 1 / rate))
        self.samples, self.peak, self.finite = 0, 0.0, True
        self.rest = np.zeros(0, np.float32)
        self.powers: list[NDArray[np.float64]] = []
        self.weighted_powers: list[NDArray[np.float64]] = []

    def add(self, mono: Array) -> None:
        """Measure the next samples (any,)."""
        self.samples += mono.size
        top, bottom = float(mono.max()), float(mono.min())
        self.finite &= math.isfinite(top) and math.isfinite(bottom)
        if not self.finite:
            return
        self.peak = max(self.peak, top, -bottom)
        joined = np.concatenate((self.rest, mono))
        whole = joined.size // self.span * self.span
        self.rest = joined[whole:]
        # By Parseval's theorem a span's weighted power is a sum over its spectrum: no filter has to run.
        spectrum = np.abs(np.fft.rfft(joined[:whole].reshape(-1, self.span))) ** 2
        spectrum[:, 1:] *= 2
        self.powers.append(spectrum.sum(axis=1, dtype=np.float64) / self.span**2)
        self.weighted_powers.append((spectrum @ self.weights).astype(np.float64) / self.span**2)

    def result(self, facts: dict[str, Any], damage: str | None) -> Measurement:
        """The measurement of all samples; `facts` are its fields that the file's header states."""
        duration = self.samples / self.rate
        if not self.finite:
            return Measurement(duration, **facts, error="holds samples that are NaN or infinite")
        if self.peak == 0:
            cause = ", or its channels cancel each other" if facts.get("channels", 1) > 1 else ""
            return Measurement(duration, **facts, error=f"silent: every sample is zero{cause}")
        powers, weighted = (np.concatenate([np.zeros(0), *parts]) for parts in (self.powers, self.weighted_powers))
        silence = float((powers < 10 ** (SILENT_DB / 10)).mean()) if powers.size else 0.0
        levels = {"peak": self.peak, "loudness_lufs": integrated_lufs(weighted), "silence": silence}
        return Measurement(duration, **facts, **levels, damage=damage)


def k_weighting(frequency_hz: NDArray[np.float64]) -> NDArray[np.float32]:
    """Power gain of ITU-R BS.1770's K-weighting at frequencies in Hz: +4 dB above 1.7 kHz, high-passed at 38 Hz.

    The analogue prototypes of its two biquads, as fitted by De Man (2014) and used in libebur128.
    """
    s = 1j * frequency_hz / 1681.974450955533
    gain, q = 10 ** (3.999843853973347 / 20), 0.7071752369554196
    shelf = (gain * s**2 + gain**0.4996667741545416 * s / q + 1) / (s**2 + s / q + 1)
    s = 1j * frequency_hz / 38.13547087602444
    high_pass = s**2 / (s**2 + s / 0.5003270373238773 + 1)
    return (np.abs(shelf * high_pass) ** 2).astype(np.float32)


def integrated_lufs(powers: NDArray[np.float64]) -> float | None:
    """Loudness in LUFS from the K-weighted power of each tenth of a second, gated as in ITU-R BS.1770-4."""
    if not powers.size:
        return None
    width = min(4, powers.size)
    blocks = np.convolve(powers, np.ones(width) / width, "valid")
    blocks = blocks[_lufs(blocks) > -70]
    if not blocks.size:
        return None
    return float(_lufs(blocks[_lufs(blocks) > _lufs(blocks.mean()) - 10].mean()))


def _lufs(power: NDArray[np.float64]) -> NDArray[np.float64]:
    return -0.691 + 10 * np.log10(np.maximum(power, 1e-20))
