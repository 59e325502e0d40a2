"""A predictor for phasers, flangers and choruses: a periodic filter, its phase tracked from fed-back samples."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fxemu.engine.plan import Activation, Plan, Product, Term
from fxemu.models.base import Predictor
from fxemu.models.fits.periodic_filter import fit_periodic_taps
from fxemu.models.parts.phasors import plan_renormalised, plan_rotated, plan_start, rotations

# 1 / power where dry is loud enough to track the phase: from 20 dB below the training songs on.
INVERSE = Activation("inverse", 1e-4)
# Share by which a phasor nears the product of the first one and the one before it, in a sample.
CHAIN = 1e-3
# Share by which it nears length 1: less than where phasors stand alone, since each follows the first one as well.
PULL = 1e-4


class PeriodicFilter(Predictor):
    """wet[t] = w_0[t] + sum over k of re(z_k[t] w_k[t]), where w = mixing (basis * dry): taps that repeat with time.

    The basis is `rank` FIR filters, the mixing turns them into harmonics of the taps' movement, and the phasors z_k
    turn at k times one learned rate. With feedback they are an observer (Luenberger 1964), as in `Oscillator`:

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
        rank: basis filters, at least 1.
        harmonics: K, at least 2.
        correction: share of the error that is corrected in a sample, above 0, at most 1.
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
        correction: float = 0.03,
        memory_samples: int = 4096,
        feedback: bool = True,
    ) -> None:
        super().__init__()
        if context_window < 2 or rank < 1 or harmonics < 2 or not 0 < correction <= 1:
            raise ValueError(
                f"PeriodicFilter: got context_window {context_window}, rank {rank}, harmonics {harmonics}, "
                f"correction {correction}; allowed are at least 2, 1 and 2, and above 0 up to 1"
            )
        if memory_samples < context_window or rank > context_window:
            raise ValueError(
                f"PeriodicFilter: got memory_samples {memory_samples} and rank {rank}; must be at least and at most "
                f"the context_window of {context_window}"
            )
        self.feedback, self.correction, self.receptive_field = feedback, correction, memory_samples + 1
        self.harmonics = harmonics
        self.rate = nn.Parameter(torch.tensor(1e-3))
        self.basis = nn.Conv1d(1, rank, context_window, bias=False)
        # Rows: w_0, the real parts of w_1 .. w_K, the imaginary ones.
        self.mixing = nn.Parameter(torch.randn(2 * harmonics + 1, rank) / (2 * harmonics + 1) ** 0.5)
        # The mean of sum |w|^2 over the training songs.
        self.register_buffer("power", torch.tensor(1.0))

    @torch.no_grad()
    def fit(self, songs: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Rate and taps by phase from all of the songs, (dry, wet) of (samples,) each; every one begins at phase 0."""
        window, rank = self.basis.kernel_size[0], self.basis.out_channels
        rate, taps = fit_periodic_taps(songs, window, rank, self.harmonics)
        self.rate.copy_(torch.as_tensor(rate))
        self.basis.weight.copy_(taps.basis[:, None])
        self.mixing.copy_(torch.cat((taps.mixing.real, taps.mixing.imag[1:])))
        # The basis filters are uncorrelated and of unit power.
        self.power.copy_(self.mixing[1:].square().sum())

    def _start(self) -> tuple[Tensor, Tensor]:
        """The phasors before the first sample: the song begins, at phase 0, `receptive_field` rotations later."""
        re, im = rotations(-self.receptive_field * self.rate.double(), self.harmonics)
        return re.float(), im.float()

    def plan(self, plan: Plan, dry: int, wet: int) -> int:
        states = re, im, previous, runs = [plan.state(width) for width in (self.harmonics, self.harmonics, 1, 1)]
        one, first = plan_start(plan, runs, self.rate)
        basis = plan.add(Term(dry, self.basis.weight))
        starts = [Product((plan.add(Term(first, x[:, None, None])),)) for x in self._start()]
        pushes = self._plan_pushes(plan, basis, wet, previous) if self.feedback else ((), ())
        re = plan.mix(Product((re,)), starts[0], *pushes[0])
        im = plan.mix(Product((im,)), starts[1], *pushes[1])
        re, im = plan_rotated(plan, re, im, *rotations(self.rate, self.harmonics))
        re, im = plan_renormalised(plan, *self._plan_chained(plan, re, im), PULL)
        fixed = plan.add(Term(basis, self.mixing[:1, :, None]))
        w_re, w_im = (plan.add(Term(basis, rows[..., None])) for rows in self._rows())
        moving = plan.mix(Product((re, w_re)), Product((im, w_im), -1.0))
        prediction = plan.add(Term(moving, self._ones(1, self.harmonics)), Term(fixed, self._ones(1, 1)))
        for state, value in zip(states, (re, im, prediction, one), strict=True):
            plan.close(state, value)
        return prediction

    def _rows(self) -> tuple[Tensor, Tensor]:
        """The mixing of the real and of the imaginary parts of w_1 .. w_K: (K, R) each."""
        return self.mixing[1:].chunk(2)

    def _ones(self, units: int, width: int) -> Tensor:
        return self.rate.new_ones(units, width, 1)

    def _plan_pushes(self, plan: Plan, basis: int, wet: int, previous: int) -> tuple[tuple[Product], tuple[Product]]:
        """Corrections of the real and of the imaginary parts for the error of the sample before."""
        w_re, w_im = (plan.add(Term(basis, F.pad(rows[..., None], (0, 1)))) for rows in self._rows())
        square = plan.mix(Product((w_re, w_re)), Product((w_im, w_im)))
        inverse = plan.add(Term(square, self._ones(1, self.harmonics) / self.power), activation=INVERSE)
        error = plan.mix(Product((wet, inverse)), Product((previous, inverse), -1.0))
        push = plan.add(Term(error, self._ones(self.harmonics, 1) * self.correction / self.power))
        return (Product((push, w_re)),), (Product((push, w_im), -1.0),)

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
