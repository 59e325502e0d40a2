"""A predictor for phasers, choruses, rotary speakers: periodic filters, their phases tracked from fed-back samples."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fxemu.engine.plan import Activation, Plan, Product, Term
from fxemu.errors import check_least, check_range
from fxemu.models.base import Predictor
from fxemu.models.fits.periodic_filter import fit_movements
from fxemu.models.parts.phasors import plan_renormalised, plan_rotated, plan_start, rotations

# 1 / power where dry is loud enough to track the phase: from 20 dB below the training songs on.
INVERSE = Activation("inverse", 1e-4)
# Share by which a phasor nears the product of the first one and the one before it, in a sample.
CHAIN = 1e-3
# Share by which it nears length 1: less than where phasors stand alone, since each follows the first one as well.
PULL = 1e-4

Pushes = tuple[tuple[Product, ...], tuple[Product, ...]]


class PeriodicFilter(Predictor):
    """wet[t] = w_0[t] + sum over k of re(z_k[t] w_k[t]), where w = mixing (basis * dry): taps that repeat with time.

    The basis is `rank` FIR filters, the mixing turns them into harmonics of the taps' movement, and the phasors z_k
    turn at k times one learned rate; or a sum of several such filters, each with a rate of its own (a rotary speaker
    has two rotors). With feedback the phasors are an observer (Luenberger 1964), as in `Oscillator`:

        error   = wet[t-1] - predicted[t-1]
        z_k[t]  = e^(i k rate) (z_k[t-1] + correction error conj(w_k) / sum |w|^2)       normalised LMS
        then a little closer to z_(k-1) z_1, and to length 1

    The error is linear in the phasors, so while primed they find the phase from any start; all are powers of the first
    one, and are drawn to that. In a free run the error is zero, and they coast. Rate,
    basis and mixing are fitted in closed form (`fit`), to songs that begin at the same phase: use it with
    `training=closed_form`. Takes and makes plain samples: `repr=raw` only.

    Args:
        channels, params: 1 each.
        context_window: dry samples seen, the present one included, at least 2.
        rank: basis filters of each rate, at least 1.
        harmonics: K, at least 2.
        rates: filters with a rate of their own, at least 1.
        correction: share of the error that is corrected in a sample, 1e-6 to 1.
        memory_samples: true samples seen before a prediction counts in training, at least context_window.
        feedback: False for the control, whose phase counts from the start of the song.
    """

    plain_samples = periodic = True
    closed_form = True

    def __init__(
        self,
        channels: int = 1,
        params: int = 1,
        context_window: int = 800,
        rank: int = 16,
        harmonics: int = 32,
        rates: int = 1,
        correction: float = 0.03,
        memory_samples: int = 4096,
        feedback: bool = True,
    ) -> None:
        super().__init__()
        check_least(2, context_window=context_window, harmonics=harmonics)
        check_least(1, rates=rates)
        check_least(context_window, memory_samples=memory_samples)
        check_range("rank", rank, 1, context_window)
        check_range("correction", correction, 1e-6, 1)
        self.feedback, self.correction, self.receptive_field = feedback, correction, memory_samples + 1
        self.harmonics, self.rates = harmonics, rates
        # One rate has no axis of its own, as in files from before there could be several.
        several = (rates,) if rates > 1 else ()
        self.rate = nn.Parameter(torch.full(several, 1e-3))
        self.basis = nn.Conv1d(1, rates * rank, context_window, bias=False)
        # Rows: w_0, the real parts of w_1 .. w_K, the imaginary ones.
        self.mixing = nn.Parameter(torch.randn(*several, 2 * harmonics + 1, rank) / (2 * harmonics + 1) ** 0.5)
        # The mean of sum |w|^2 over the training songs.
        self.register_buffer("power", torch.tensor(1.0))

    @torch.no_grad()
    def fit(self, songs: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Rates and taps by phase from all of the songs, (dry, wet) of (samples,) each; every one begins at phase 0."""
        window, rank = self.basis.kernel_size[0], self.basis.out_channels // self.rates
        found = fit_movements(songs, window, rank, self.harmonics, self.rates)
        self.rate.copy_(torch.tensor([movement.rate for movement in found]).reshape(self.rate.shape))
        self.basis.weight.copy_(torch.cat([movement.taps.basis for movement in found])[:, None])
        mixings = [torch.cat((each.taps.mixing.real, each.taps.mixing.imag[1:])) for each in found]
        self.mixing.copy_(torch.stack(mixings).reshape(self.mixing.shape))
        # The basis filters are uncorrelated and of unit power.
        self.power.copy_(sum(mixing[1:].square().sum() for mixing in mixings))

    def plan(self, plan: Plan, dry: int, wet: int) -> int:
        previous, runs = plan.state(1), plan.state(1)
        one, first = plan_start(plan, runs, self.rate)
        bases = [plan.add(Term(dry, weight)) for weight in self.basis.weight.chunk(self.rates)]
        mixings = self.mixing.reshape(self.rates, -1, self.mixing.shape[-1])
        pushes = self._plan_pushes(plan, bases, mixings, wet, previous) if self.feedback else [((), ())] * self.rates
        movements = zip(self.rate.reshape(-1), bases, mixings, pushes, strict=True)
        terms = [term for movement in movements for term in self._plan_movement(plan, first, *movement)]
        prediction = plan.add(*terms)
        plan.close(previous, prediction)
        plan.close(runs, one)
        return prediction

    def _plan_movement(
        self, plan: Plan, first: int, rate: Tensor, basis: int, mixing: Tensor, pushes: Pushes
    ) -> tuple[Term, Term]:
        """One of the filters, whose terms add up to what it makes of dry; its phasors are states."""
        states = plan.state(self.harmonics), plan.state(self.harmonics)
        # Before the first sample: the song begins, at phase 0, `receptive_field` rotations later.
        starts = rotations(-self.receptive_field * rate.double(), self.harmonics)
        turned = [
            plan.mix(Product((state,)), Product((plan.add(Term(first, start.float()[:, None, None])),)), *push)
            for state, start, push in zip(states, starts, pushes, strict=True)
        ]
        re, im = plan_rotated(plan, *turned, *rotations(rate, self.harmonics))
        re, im = plan_renormalised(plan, *self._plan_chained(plan, re, im), PULL)
        fixed = plan.add(Term(basis, mixing[:1, :, None]))
        w_re, w_im = (plan.add(Term(basis, rows[..., None])) for rows in mixing[1:].chunk(2))
        moving = plan.mix(Product((re, w_re)), Product((im, w_im), -1.0))
        for state, value in zip(states, (re, im), strict=True):
            plan.close(state, value)
        return Term(moving, self._ones(1, self.harmonics)), Term(fixed, self._ones(1, 1))

    def _ones(self, units: int, width: int) -> Tensor:
        return self.rate.new_ones(units, width, 1)

    def _plan_pushes(self, plan: Plan, bases: list[int], mixings: Tensor, wet: int, previous: int) -> list[Pushes]:
        """Corrections of the real and of the imaginary parts of each filter for the error of the sample before."""
        before = [
            [plan.add(Term(basis, F.pad(rows[..., None], (0, 1)))) for rows in mixing[1:].chunk(2)]
            for basis, mixing in zip(bases, mixings, strict=True)
        ]
        squares = [plan.mix(Product((w_re, w_re)), Product((w_im, w_im))) for w_re, w_im in before]
        share = self._ones(1, self.harmonics) / self.power
        inverse = plan.add(*(Term(square, share) for square in squares), activation=INVERSE)
        error = plan.mix(Product((wet, inverse)), Product((previous, inverse), -1.0))
        push = plan.add(Term(error, self._ones(self.harmonics, 1) * self.correction / self.power))
        return [((Product((push, w_re)),), (Product((push, w_im), -1.0),)) for w_re, w_im in before]

    def _plan_chained(self, plan: Plan, re: int, im: int) -> tuple[int, int]:
        """Each phasor a little nearer to the product of the first and of the one before it, which for that is 1."""
        units = self.harmonics
        shift = torch.eye(units, device=self.rate.device).roll(1, 0).tril()[..., None]
        re_before = plan.add(Term(re, shift), bias=F.one_hot(torch.tensor(0), units).to(shift))
        im_before = plan.add(Term(im, shift))
        re_1, im_1 = (plan.add(Term(plan.part(x, 0, 1), self._ones(units, 1))) for x in (re, im))
        there = (
            (Product((re_before, re_1), CHAIN), Product((im_before, im_1), -CHAIN)),
            (Product((re_before, im_1), CHAIN), Product((im_before, re_1), CHAIN)),
        )
        return tuple(plan.mix(Product((x,), 1 - CHAIN), *y) for x, y in zip((re, im), there, strict=True))
