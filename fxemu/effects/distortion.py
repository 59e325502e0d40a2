"""Distortions: memoryless clippers, alone or between two filters as in a pedal."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fxemu.effects.base import Effect, check_range
from fxemu.effects.filters import rc_highpass, rc_lowpass

CLIPPERS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "hard": lambda x: x.clamp(-1, 1),
    # Exponential saturation, softer and lower on the negative half, as a single-ended stage has it.
    "asymmetric": lambda x: torch.where(x > 0, -torch.expm1(-x.abs()), 0.6 * torch.expm1(-x.abs() / 0.6)),
}


class Distortion(Effect):
    """High-pass, drive, clip, low-pass: the classic pedal, with a first-order (RC) filter at either end.

    Args:
        drive_db: gain before the clipper, -20 to 60 dB.
        clip: tanh, hard or asymmetric; each has slope 1 at 0.
        highpass_hz: high-pass before the drive, 10 to 2000 Hz.
        lowpass_hz: low-pass after the clipper, 200 to 20000 Hz.
    """

    def __init__(
        self,
        drive_db: float = 25.0,
        clip: str = "tanh",
        highpass_hz: float = 80.0,
        lowpass_hz: float = 5000.0,
    ) -> None:
        check_range("drive_db", drive_db, -20, 60, "dB")
        check_range("highpass_hz", highpass_hz, 10, 2000, "Hz")
        check_range("lowpass_hz", lowpass_hz, 200, 20_000, "Hz")
        if clip not in CLIPPERS:
            raise ValueError(f"clip: got {clip!r}; choose one of {', '.join(CLIPPERS)}")
        self.gain = 10 ** (drive_db / 20)
        self.clip = CLIPPERS[clip]
        self.highpass_hz, self.lowpass_hz = highpass_hz, lowpass_hz
        # Each filter forgets within a few periods of its cutoff, and the drive lifts what is left of the first.
        self.memory_s = 8 / min(highpass_hz, lowpass_hz)

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        x = self.clip(rc_highpass(dry, sample_rate, self.highpass_hz) * self.gain)
        return rc_lowpass(x, sample_rate, self.lowpass_hz).to(torch.float32)


class Tanh(Effect):
    """tanh(gain * x): the plainest case, with no memory at all.

    Args:
        gain: linear gain before tanh, 0.1 to 1000.
    """

    def __init__(self, gain: float = 5.0) -> None:
        check_range("gain", gain, 0.1, 1000)
        self.gain = gain

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        return torch.tanh(self.gain * dry)
