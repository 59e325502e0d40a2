"""Metadata of .nam files: author, gear, loudness and gain.

The fields are those of the package neural-amp-modeler 0.13, which plugins show and level by.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

import torch
from torch import Tensor

from fxemu.engine.streaming.stream import render
from fxemu.runtimes.base import ExportError, Model

GEAR_TYPES = ("amp", "pedal", "pedal_amp", "amp_cab", "amp_pedal_cab", "preamp", "studio")
TONE_TYPES = ("clean", "overdrive", "crunch", "hi_gain", "fuzz")
# What a user may say; the levels are the dBu that 0 dBFS stands for.
FIELDS = ("modeled_by", "gear_type", "gear_make", "gear_model", "tone_type", "input_level_dbu", "output_level_dbu")
# Pink noise as the package measures with, a second of it, at so many levels.
NOISE_DB, LEVELS = -15.0, 11


def metadata(model: Model) -> dict[str, object]:
    """All fields of a file; those that the user leaves out are null. ExportError for what no reader knows."""
    given = {name: _checked(name, value) for name, value in model.about.items()}
    now = datetime.now(UTC)
    return {
        "date": {unit: getattr(now, unit) for unit in ("year", "month", "day", "hour", "minute", "second")},
        **_measured(model),
        "name": model.name,
        **dict.fromkeys(FIELDS),
        "modeled_by": "fxemu",
        **given,
    }


def _checked(name: str, value: str) -> str | float:
    if name not in FIELDS:
        raise ExportError(f"--about {name}: a .nam file has no such field; choose from {', '.join(FIELDS)}")
    for field, known in (("gear_type", GEAR_TYPES), ("tone_type", TONE_TYPES)):
        if name == field and value not in known:
            raise ExportError(f"--about {name}: got {value!r}; choose from {', '.join(known)}")
    if name.endswith("_dbu"):
        try:
            return float(value)
        except ValueError:
            raise ExportError(f"--about {name}: got {value!r}; must be a number of dBu") from None
    return value


def _measured(model: Model) -> dict[str, float]:
    """Loudness, in dB RMS, and gain: 0 for an output that grows as the input does, 1 for one that does not."""
    noise = _pink_noise(model.sample_rate)
    rms = torch.stack(
        [render(model.loop, level * noise).square().mean().sqrt() for level in torch.linspace(0, 1, LEVELS)]
    )
    squashed = 2 * rms.mean() / rms[-1] - 1
    return {"loudness": 20 * math.log10(max(float(rms[-1]), 1e-9)), "gain": float(squashed.nan_to_num().clamp(0, 1))}


def _pink_noise(samples: int) -> Tensor:
    """Noise of the same power in every octave, (samples,), the same each time."""
    spectrum = torch.fft.rfft(torch.randn(samples, generator=torch.Generator().manual_seed(0)))
    spectrum[1:] /= torch.arange(1, spectrum.numel()).sqrt()
    spectrum[0] = 0
    noise = torch.fft.irfft(spectrum, n=samples)
    return noise * 10 ** (NOISE_DB / 20) / noise.square().mean().sqrt()
