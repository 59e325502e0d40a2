"""Aliasing: energy between the harmonics over that of the harmonics, of steady tones at half scale.

A tone has a whole number of cycles in a prime number of samples: then no harmonic, however high and wherever it is
folded to, falls onto a lower one, and whatever lies between the harmonics is aliased.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from fxemu.effects import Effect
from fxemu.engine.playable import Playable
from fxemu.engine.streaming.stream import render_many
from fxemu.evaluation.scores import AliasingScores

# Every third note from C6 to D#8: 1047 to 4978 Hz.
NOTES_HZ = tuple(440 * 2 ** ((note - 69) / 12) for note in range(84, 112, 3))
LEVEL = 0.5
# Samples of the spectrum, a prime number; those before it, in which a tone becomes steady; those after it, which an
# effect's own oversampling filters see.
SPECTRUM, STEADY, AFTER = 8191, 32_768, 64


def aliasing(loop: Playable, effect: Effect, sample_rate: int) -> AliasingScores | None:
    """Aliasing of a model beside that of the effect; None for an effect with an oscillator, which makes sidebands."""
    if effect.rate_hz is not None:
        return None
    own = None
    if effect.replayable:
        own = aliasing_db(lambda tones: [effect(tone, sample_rate) for tone in tones], NOTES_HZ, sample_rate)
    return AliasingScores(aliasing_db(lambda tones: render_many(loop, tones), NOTES_HZ, sample_rate), own)


def aliasing_db(play: Callable[[list[Tensor]], Iterable[Tensor]], notes_hz: Sequence[float], sample_rate: int) -> float:
    """Aliased over harmonic energy of notes in Hz, all together, in dB.

    Args:
        play: several dry signals (samples,) to wet.
        notes_hz: each is moved to the nearest frequency that fits, by at most half of `sample_rate` / `SPECTRUM`; those
            from half of `sample_rate` on do not count.
        sample_rate: in Hz.
    """
    cycles = [round(hz * SPECTRUM / sample_rate) for hz in notes_hz if hz < sample_rate / 2]
    t = torch.arange(STEADY + SPECTRUM + AFTER, dtype=torch.float64)
    tones = [(LEVEL * torch.sin(2 * torch.pi * ((n * t) % SPECTRUM) / SPECTRUM)).float() for n in cycles]
    harmonic = aliased = 0.0
    for n, wet in zip(cycles, play(tones), strict=True):
        power = torch.fft.rfft(wet[STEADY : STEADY + SPECTRUM].double()).abs().square()
        harmonic += float(power[n::n].sum())
        aliased += float(power[1:].sum() - power[n::n].sum())
    return float(10 * torch.tensor(max(aliased, 1e-12 * harmonic) / harmonic).log10()) if harmonic else 0.0
