"""A linear filter: taps over dry and, with feedback, over past wet samples."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fxemu.engine.plan import Plan, Term
from fxemu.errors import check_least
from fxemu.models.base import Predictor
from fxemu.models.fits.fir import fit_filter, fit_filters

# Taps that are solved for at once, in a second or two; from there the fit continues step by step, with less of a ridge.
SOLVED_TAPS = 2048


class Linear(Predictor):
    """bias + FIR over x[t-m+1..t] + taps over y[t-n..t-1]: a recursive (IIR) filter, or an FIR without feedback.

    Without feedback it starts from the least squares fit to the training songs (`fit`), for which tens of thousands
    of taps are not too many: delays and reverbs; `training=closed_form` leaves it at that.

    With raw samples it is what a linear effect is made of; on any other effect it is the baseline of a linear fit.

    Args:
        channels: feature channels a sample (C), set by the input representation.
        params: parameters of the next sample (P), set by the output representation.
        context_window: m, dry samples seen, the present one included; at least 1.
        feedback_window: n, wet samples seen; at least 1.
        feedback: False for the FIR that sees no wet samples.
    """

    vectorised, last_bias = True, "dry.bias"

    def __init__(
        self,
        channels: int,
        params: int,
        context_window: int = 256,
        feedback_window: int = 32,
        feedback: bool = True,
    ) -> None:
        super().__init__()
        check_least(1, context_window=context_window, feedback_window=feedback_window)
        self.channels, self.feedback, self.closed_form = channels, feedback, not feedback
        self.receptive_field = max(context_window, feedback_window + 1) if feedback else context_window
        self.dry = nn.Conv1d(channels, params, context_window)
        self.wet = nn.Conv1d(channels, params, feedback_window, bias=False) if feedback else None
        if self.wet is not None:
            # Start with a weak loop, so that the first free runs stay bounded.
            self.wet.weight.data.mul_(0.3)

    @torch.no_grad()
    def fit(self, songs: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Without feedback: the taps with the least squared error over the songs, plain samples."""
        if not self.closed_form:
            return
        window = self.dry.kernel_size[0]
        first = fit_filters([(dry[None], wet) for dry, wet in songs], min(window, SOLVED_TAPS))[0]
        taps = fit_filter(songs, window, start=first)
        self.dry.weight.copy_(taps.flip(0))
        self.dry.bias.zero_()

    def forward(self, dry: Tensor, wet: Tensor) -> Tensor:
        samples = dry.shape[-1] - self.receptive_field + 1
        params = self.dry(dry)[..., -samples:]
        return params if self.wet is None else params + self.wet(wet[..., :-1])[..., -samples:]

    def plan(self, plan: Plan, dry: int, wet: int) -> int:
        terms = [Term(dry, self.dry.weight)]
        if self.wet is not None:
            terms.append(Term(wet, self.wet.weight))
        return plan.add(*terms, bias=self.dry.bias)
