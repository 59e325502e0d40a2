"""Render the impulse response that `effect=convolution` ships with: a guitar cabinet, made of filters only.

Run `python scripts/make_cabinet.py` to write fxemu/effects/cabinet.wav. Nothing is downloaded or sampled.
"""

import torch

from fxemu.audio.tensors import write_wav
from fxemu.effects import Bandpass, Highpass, Lowpass, ParametricEQ
from fxemu.effects.convolution import CABINET

SAMPLE_RATE = 44_100
SAMPLES = 2048


def cabinet() -> torch.Tensor:
    """A closed box (75 Hz), its body (120 and 400 Hz), the cone's breakup (2.5 kHz) and its end (5 kHz)."""
    impulse = torch.zeros(SAMPLES)
    impulse[0] = 0.2
    tone = ParametricEQ(120, 4, 400, -5, 0.9, 2000, 5)(Lowpass(5000)(Highpass(75)(impulse, SAMPLE_RATE), SAMPLE_RATE))
    response = tone + 0.5 * Bandpass(2500, 4)(tone, SAMPLE_RATE)
    # A sound that the box throws back 0.9 ms later, and an end without a step.
    response[40:] -= 0.25 * response[:-40].clone()
    return response * torch.linspace(1, 0, SAMPLES).sqrt()


if __name__ == "__main__":
    write_wav(CABINET, cabinet(), SAMPLE_RATE)
    print(f"wrote {CABINET}")
