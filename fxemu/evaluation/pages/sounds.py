"""Excerpts of a run's songs as a page plays them: the same stretch of each, at the levels that they have."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fxemu.audio.decoding import read
from fxemu.audio.loudness import loudness_lufs
from fxemu.audio.source import AudioError
from fxemu.audio.tensors import encode_flac
from fxemu.errors import SAMPLE_RATES_HZ
from fxemu.evaluation.measurements.levels import around_peak
from fxemu.library.songs import file_stem

# A file of some megabytes may hold hours of silence.
LONGEST_S = 1200
# An error is kept at this peak: 12 of 16 bits describe it, and FLAC needs half the bytes.
ERROR_PEAK = 1 / 16
SILENCE_LUFS = -70.0


@dataclass(frozen=True)
class Sound:
    """A sound on a page.

    Args:
        label: what it is.
        flac: the file, 16 bits, in base64.
        gain: that gives it back its level.
        lufs: its loudness at that level.
        error: whether it is an error, which a listener may amplify.
    """

    label: str
    flac: str
    gain: float
    lufs: float
    error: bool = False

    @property
    def loudest_db(self) -> int:
        """Gain in whole dB at which an error is as loud as it can be without clipping."""
        return max(0, math.floor(-20 * math.log10(self.gain * ERROR_PEAK)))

    @property
    def data(self) -> dict[str, str | float]:
        """What `player.js` reads."""
        return {"flac": self.flac, "gain": self.gain, "lufs": self.lufs}


@dataclass(frozen=True)
class Stretch:
    """Samples (samples,) of one stretch of a song by their label, all at the same rate in Hz."""

    samples: dict[str, Tensor]
    rate: int

    def sounds(self, most_bytes: int) -> list[Sound]:
        """The sounds as a page holds them, in order, as many as the bytes allow.

        All share a gain that keeps the loudest from being clipped.
        """
        peak = max(1.0, *(float(part.abs().max()) for part in self.samples.values()))
        made: list[Sound] = []
        for label, part in self.samples.items():
            sound = encode(label, part / peak, self.rate)
            most_bytes -= len(sound.flac)
            if most_bytes < 0:
                break
            made.append(sound)
        return made

    def error(self) -> Sound:
        """The error of "prediction" against "target"."""
        peak = max(1.0, *(float(part.abs().max()) for part in self.samples.values()))
        return encode("error", (self.samples["prediction"] - self.samples["target"]) / peak, self.rate, error=True)


def encode(label: str, samples: Tensor, rate: int, error: bool = False) -> Sound:
    """Samples (samples,) in [-1, 1] as a sound."""
    lufs = loudness_lufs(samples.numpy(), rate)
    gain = max(float(samples.abs().max()), 1e-9) / ERROR_PEAK if error else 1.0
    flac = base64.b64encode(encode_flac(samples / gain, rate)).decode()
    return Sound(label, flac, gain, SILENCE_LUFS if lufs is None else lufs, error)


def stretch(files: dict[str, tuple[Path, str]], song: str, seconds: float) -> Stretch | None:
    """The loudest stretch of a song, from several files.

    Args:
        files: label to run folder and kind (dry, target, prediction); the first one that is there decides where.
        song: its name.
        seconds: how much of it, or all if it is shorter.

    Returns:
        those files that are there with the same rate and long enough; None if there is none.
    """
    read_files = {label: sound for label, (folder, kind) in files.items() if (sound := _read(folder, song, kind))}
    if not read_files:
        return None
    first, rate = next(iter(read_files.values()))
    length = max(1, int(seconds * rate))
    loudest = around_peak(first, length)
    parts = {label: samples[loudest] for label, (samples, its) in read_files.items() if its == rate}
    parts = {label: part for label, part in parts.items() if part.numel() == first[loudest].numel()}
    return Stretch(parts, rate) if parts else None


def _read(folder: Path, song: str, kind: str) -> tuple[Tensor, int] | None:
    """Samples and their rate in Hz; None if there is no such file, or it is none that a run writes."""
    try:
        sound = read(folder / "audio" / f"{file_stem(song)}-{kind}.wav", seconds=LONGEST_S)
    except AudioError:
        return None
    low, high = SAMPLE_RATES_HZ
    if not low <= sound.rate <= high or not sound.samples.size:
        return None
    return torch.from_numpy(sound.samples), sound.rate
