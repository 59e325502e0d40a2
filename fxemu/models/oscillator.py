"""A predictor for modulation: a gain on dry from oscillators, phase-corrected by fed-back samples."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fxemu.engine.plan import Activation, Plan, Product, Term
from fxemu.errors import check_least, check_range
from fxemu.models.base import Predictor
from fxemu.models.fits.oscillator import find_rate, fit_waveform
from fxemu.models.parts.phasors import plan_renormalised, plan_rotated, plan_start, rotations

INVERSE = Activation("inverse", 1e-8)
# Harmonics below this share of the strongest are corrected more slowly: they have little to show of themselves.
FAINT = 0.01


class Oscillator(Predictor):
    """wet[t] = dry[t] (a0 + sum over k of a_k re z_k[t]): phasors z_k, turning at k times one learned rate.

    With feedback they are an observer (Luenberger 1964) whose gain is that of the normalised LMS algorithm:

        error      = (wet[t-1] - predicted[t-1]) / dry[t-1]          regularised where dry is silent
        z_k[t]     = e^(i k w) (z_k[t-1] + correction_k error), and then a little closer to |z_k| = 1

    While it is primed, the error is linear in the phasors, so they find the phase from any start; in a free run the
    error is zero, and they coast. The rate, the waveform and the phase at the start of a song are
    fitted in closed form to the longest training song (`fit`); there is nothing for gradient descent to improve on,
    so use it with `training=closed_form`. Takes and makes plain samples: `repr=raw` only.

    Args:
        channels, params: 1 each.
        harmonics: K, at least 1.
        correction: share of the error that is corrected in a sample, 1e-6 to 1.
        memory_samples: true samples seen before a prediction counts in training, at least 1.
        feedback: False for the control, whose phase counts from the start of the song.
    """

    plain_samples = periodic = True
    closed_form = True

    def __init__(
        self,
        channels: int = 1,
        params: int = 1,
        harmonics: int = 32,
        correction: float = 0.3,
        memory_samples: int = 4096,
        feedback: bool = True,
    ) -> None:
        super().__init__()
        check_least(1, harmonics=harmonics, memory_samples=memory_samples)
        check_range("correction", correction, 1e-6, 1)
        self.feedback, self.correction, self.receptive_field = feedback, correction, memory_samples + 1
        self.rate = nn.Parameter(torch.tensor(1e-3))
        self.mean = nn.Parameter(torch.tensor(1.0))
        self.amplitude = nn.Parameter(0.1 / torch.arange(1.0, harmonics + 1))
        # Where the phasors start: long before any error that a gradient could come from.
        self.register_buffer("phase", torch.zeros(harmonics))

    @torch.no_grad()
    def fit(self, songs: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Fit rate, waveform and phase at the start to the longest of the songs, (dry, wet) of (samples,) each."""
        dry, wet = (x.double() for x in max(songs, key=lambda song: song[0].numel()))
        rate = find_rate(dry, wet)
        mean, phasors = fit_waveform(dry, wet, rate, self.amplitude.numel())
        order = torch.arange(1.0, phasors.numel() + 1, dtype=torch.float64)
        # A run starts `memory_samples` before the song, with the first turn already done.
        phase = phasors.angle() - order * rate * self.receptive_field
        self.rate.copy_(torch.as_tensor(rate))
        self.mean.copy_(mean)
        self.amplitude.copy_(phasors.abs())
        self.phase.copy_(torch.remainder(phase, 2 * math.pi))

    def _push(self) -> Tensor:
        """The correction of the phasors for an error of 1: (K,). Each moves alike, down to `FAINT` of the strongest."""
        square = self.amplitude.square()
        whitened = square + (FAINT * self.amplitude).square().max() + 1e-12
        return self.correction * self.amplitude / whitened / (square / whitened).sum()

    def plan(self, plan: Plan, dry: int, wet: int) -> int:
        units = self.amplitude.numel()
        re, im, previous, runs = plan.state(units), plan.state(units), plan.state(1), plan.state(1)
        one, first = plan_start(plan, runs, self.rate)
        pushes = [Term(first, self.phase.cos()[:, None, None])]
        if self.feedback:
            inverse = plan.add(Term(dry, self.rate.new_tensor([[[1.0, 0.0]]])), activation=INVERSE)
            error = plan.mix(Product((wet, inverse)), Product((previous, inverse), -1.0))
            pushes.append(Term(error, self._push()[:, None, None]))
        re_before = plan.mix(Product((re,)), Product((plan.add(*pushes),)))
        im_before = plan.mix(Product((im,)), Product((plan.add(Term(first, self.phase.sin()[:, None, None])),)))
        rotation = rotations(self.rate, units)
        next_re, next_im = plan_renormalised(plan, *plan_rotated(plan, re_before, im_before, *rotation))
        gain = plan.add(Term(next_re, self.amplitude[None, :, None]), bias=self.mean[None])
        prediction = plan.mix(Product((dry, gain)))
        for state, value in ((re, next_re), (im, next_im), (previous, prediction), (runs, one)):
            plan.close(state, value)
        return prediction
