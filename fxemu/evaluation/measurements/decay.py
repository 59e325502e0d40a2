"""Decay time of reverbs and echoes after a burst of noise, and the relative error of the model's.

By backward integration of the squared response (Schroeder 1965, "New method of measuring reverberation time"), from
-5 to -35 dB as in ISO 3382-1 (T30), and extended to -60 dB.
"""

from __future__ import annotations

import torch
from scipy import signal
from torch import Tensor

from fxemu.effects import Effect
from fxemu.engine.streaming.stream import render
from fxemu.evaluation.scores import DecayScores
from fxemu.models.closed_loop import ClosedLoop

# The probe: a burst of noise 12 dB below full scale, then silence for more than the longest decay of our reverbs.
BURST_S, BURST_LEVEL, SILENCE_S = 0.02, 0.25, 20.0
# Up to which it goes, in Hz: a model cannot know what becomes of frequencies that its songs did not have.
HIGHEST_HZ = 8000.0
# What dies away sooner is a filter, not a tail: a fuzz rings for 0.07 s, a reverb of 0.1 s for 0.085 s.
SHORTEST_S = 0.08
FIT_DB, FALLEN_DB = (-5.0, -35.0), -45.0


def decay(loop: ClosedLoop, effect: Effect, sample_rate: int) -> DecayScores | None:
    """Decay times of an effect and its model after a burst from silence; None for an effect without a tail."""
    burst = round(BURST_S * sample_rate)
    probe = torch.cat((BURST_LEVEL * _noise(burst, sample_rate), torch.zeros(round(SILENCE_S * sample_rate))))
    true_s = decay_s(effect(probe, sample_rate)[burst:], sample_rate)
    if true_s is None or true_s < SHORTEST_S:
        return None
    found_s = decay_s(render(loop, probe)[burst:], sample_rate)
    return DecayScores(true_s, found_s, None if found_s is None else abs(found_s / true_s - 1))


def _noise(samples: int, sample_rate: int) -> Tensor:
    """A burst of noise below HIGHEST_HZ that fades in and out: (samples,), within -1 and 1."""
    white = torch.rand(samples, generator=torch.Generator().manual_seed(0)) * 2 - 1
    low = signal.butter(8, min(HIGHEST_HZ, 0.4 * sample_rate), fs=sample_rate, output="sos")
    noise = torch.from_numpy(signal.sosfiltfilt(low, white.double().numpy()).copy()) * torch.hann_window(samples)
    return (noise / noise.abs().max()).float()


def decay_s(response: Tensor, sample_rate: int) -> float | None:
    """Seconds in which a response (samples,) falls by 60 dB; None if it is silent, or does not fall by 45 dB."""
    power = response.double().square()
    left = power.flip(0).cumsum(0).flip(0)
    # What hums or hisses on would seem to decay as its end comes nearer.
    floor = power[-power.numel() // 10 :].mean() * power.numel()
    if not left[0] > 0 or floor > left[0] * 10 ** (FALLEN_DB / 10):
        return None
    level_db = 10 * (left / left[0]).log10()
    fitted = ((level_db <= FIT_DB[0]) & (level_db >= FIT_DB[1])).nonzero()[:, 0]
    if fitted.numel() < 2:
        return None
    time_s, level_db = fitted.double() / sample_rate, level_db[fitted]
    time_s, level_db = time_s - time_s.mean(), level_db - level_db.mean()
    return float(-60 * time_s.square().sum() / (time_s * level_db).sum())
