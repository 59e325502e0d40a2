"""Distortions: memoryless clippers, alone or between filters as in an effect pedal."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fxemu.effects.base import Effect
from fxemu.effects.filters import rc_highpass, rc_lowpass
from fxemu.effects.oversampling import oversampled, resampling_memory_s
from fxemu.errors import check_choice, check_range

CLIPPERS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "hard": lambda x: x.clamp(-1, 1),
    # Exponential saturation, softer and lower on the negative half, as in a single-ended stage.
    "asymmetric": lambda x: torch.where(x > 0, -torch.expm1(-x.abs()), 0.6 * torch.expm1(-x.abs() / 0.6)),
}


class Distortion(Effect):
    """High-pass, drive, clip, low-pass: the classic pedal, with a first-order (RC) filter at either end.

    Args:
        drive_db: gain before the clipper, -20 to 60 dB.
        clip: tanh, hard or asymmetric; each has slope 1 at 0.
        highpass_hz: high-pass before the drive, 10 to 2000 Hz.
        lowpass_hz: low-pass after the clipper, 200 to 20000 Hz.
        oversampling: 1, 2, 4 or 8 times the sample rate for the clipper.
    """

    tracked = "drive_db", "lowpass_hz"

    def __init__(
        self,
        drive_db: float | Tensor = 25.0,
        clip: str = "tanh",
        highpass_hz: float = 80.0,
        lowpass_hz: float | Tensor = 5000.0,
        oversampling: int = 1,
    ) -> None:
        check_range("drive_db", drive_db, -20, 60, "dB")
        check_range("highpass_hz", highpass_hz, 10, 2000, "Hz")
        check_range("lowpass_hz", lowpass_hz, 200, 20_000, "Hz")
        check_choice("clip", clip, CLIPPERS)
        self.gain = 10 ** (drive_db / 20)
        self.clip = CLIPPERS[clip]
        self.highpass_hz, self.lowpass_hz, self.oversampling = highpass_hz, lowpass_hz, oversampling
        # Each filter settles within a few periods of its cutoff, and the drive amplifies the rest of the first.
        slowest_hz = min(highpass_hz, float(torch.as_tensor(lowpass_hz).min()))
        self.memory_s = 8 / slowest_hz + resampling_memory_s(oversampling)

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        driven = rc_highpass(dry, sample_rate, self.highpass_hz) * self.gain
        return rc_lowpass(oversampled(self.clip, driven, self.oversampling), sample_rate, self.lowpass_hz)


class Tanh(Effect):
    """wet = tanh(gain dry), without memory unless oversampled.

    Args:
        gain: linear gain before tanh, 0.1 to 1000.
        oversampling: 1, 2, 4 or 8 times the sample rate.
    """

    tracked = ("gain",)

    def __init__(self, gain: float | Tensor = 5.0, oversampling: int = 1) -> None:
        check_range("gain", gain, 0.1, 1000)
        self.gain, self.oversampling = gain, oversampling
        self.memory_s = resampling_memory_s(oversampling)

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        return oversampled(torch.tanh, self.gain * dry, self.oversampling)


class Overdrive(Effect):
    """The dry signal plus its clipped mids and highs, then a tone control: lows stay clean, picking stays dynamic.

    wet = lowpass((dry + tanh(gain * highpass(dry))) / 2), the scheme of the Tube Screamer.

    Args:
        drive_db: gain before the clipper, 0 to 60 dB.
        highpass_hz: lowest frequency that is clipped, 20 to 2000 Hz.
        lowpass_hz: the tone control, 200 to 20000 Hz.
        oversampling: 1, 2, 4 or 8 times the sample rate for the clipper.
    """

    def __init__(
        self, drive_db: float = 20.0, highpass_hz: float = 720.0, lowpass_hz: float = 3500.0, oversampling: int = 1
    ) -> None:
        check_range("drive_db", drive_db, 0, 60, "dB")
        check_range("highpass_hz", highpass_hz, 20, 2000, "Hz")
        check_range("lowpass_hz", lowpass_hz, 200, 20_000, "Hz")
        self.gain = 10 ** (drive_db / 20)
        self.highpass_hz, self.lowpass_hz, self.oversampling = highpass_hz, lowpass_hz, oversampling
        self.memory_s = 8 / min(highpass_hz, lowpass_hz) + resampling_memory_s(oversampling)

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        driven = rc_highpass(dry, sample_rate, self.highpass_hz) * self.gain
        clipped = oversampled(torch.tanh, driven, self.oversampling)
        return rc_lowpass((dry + clipped) / 2, sample_rate, self.lowpass_hz)


class Fuzz(Effect):
    """A high-pass, a very high gain and a hard clipper off its centre: nearly a square wave, of uneven duty.

    Between two coupling capacitors: wet = lowpass(highpass(clip(gain * highpass(dry) + bias) - bias)).

    Args:
        drive_db: gain before the clipper, 20 to 80 dB.
        bias: working point of the clipper, -0.9 to 0.9; 0 makes odd harmonics only.
        highpass_hz: both coupling capacitors, 10 to 2000 Hz.
        lowpass_hz: tone, 200 to 20000 Hz.
        oversampling: 1, 2, 4 or 8 times the sample rate for the clipper.
    """

    def __init__(
        self,
        drive_db: float = 40.0,
        bias: float = 0.3,
        highpass_hz: float = 20.0,
        lowpass_hz: float = 6000.0,
        oversampling: int = 1,
    ) -> None:
        check_range("drive_db", drive_db, 20, 80, "dB")
        check_range("bias", bias, -0.9, 0.9)
        check_range("highpass_hz", highpass_hz, 10, 2000, "Hz")
        check_range("lowpass_hz", lowpass_hz, 200, 20_000, "Hz")
        self.gain, self.bias = 10 ** (drive_db / 20), bias
        self.highpass_hz, self.lowpass_hz, self.oversampling = highpass_hz, lowpass_hz, oversampling
        self.memory_s = 8 / min(highpass_hz, lowpass_hz) + resampling_memory_s(oversampling)

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        driven = rc_highpass(dry, sample_rate, self.highpass_hz) * self.gain
        clipped = oversampled(lambda x: (x + self.bias).clamp(-1, 1) - self.bias, driven, self.oversampling)
        return rc_lowpass(rc_highpass(clipped, sample_rate, self.highpass_hz), sample_rate, self.lowpass_hz)
