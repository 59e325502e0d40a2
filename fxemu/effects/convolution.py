"""Convolution with an impulse response from a file: of a hall, a cabinet or any other linear system."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from numpy.typing import NDArray
from torch import Tensor

from fxemu.audio.tensors import decode
from fxemu.effects.base import Effect
from fxemu.effects.reverb import convolve, unit_energy
from fxemu.errors import check_range
from fxemu.files import printable

CABINET = Path(__file__).parent / "cabinet.wav"
LONGEST_S = 30


class Convolution(Effect):
    """Dry mixed with its convolution with an impulse response, resampled to the song's rate, of unit energy.

    Args:
        file: any audio file of up to 30 s, mixed to mono; None for the guitar cabinet that comes with fxemu.
        mix: 0 (dry) to 1 (convolved alone).

    Raises:
        AudioError: for a file that cannot be read.
        ValueError: for one that is silent or too long.
    """

    def __init__(self, file: str | None = None, mix: float = 1.0) -> None:
        check_range("mix", mix, 0, 1)
        self.file, self.mix = str(file or CABINET), mix
        samples, sample_rate = decode(self.file)
        if samples.numel() > LONGEST_S * sample_rate:
            seconds = samples.numel() / sample_rate
            raise ValueError(f"file: {printable(file)} lasts {seconds:.0f} s; at most {LONGEST_S} s are allowed")
        if not samples.any():
            raise ValueError(f"file: {printable(file)} is silent; give an impulse response")
        self.memory_s = samples.numel() / sample_rate + 0.001

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        return convolve(dry, file_response(self.file, sample_rate), self.mix)


@lru_cache(maxsize=8)
def file_response(file: str, sample_rate: int) -> NDArray:
    """The file's samples at `sample_rate`, of unit energy, float64 (samples,)."""
    return unit_energy(decode(file, sample_rate)[0].double().numpy())
