"""Recurrent predictors: an LSTM or a GRU that reads dry and, with feedback, the previous wet sample.

`feedback=False` is the black-box model of Wright et al. 2019, "Real-time black-box modelling with recurrent neural
networks" (one recurrent layer, a linear layer, and the dry sample added; here with a learned gain).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fxemu.engine import cells
from fxemu.engine.plan import Plan, Term
from fxemu.errors import check_least
from fxemu.models.base import Predictor
from fxemu.models.fits.fir import fit_filter

# Samples of all songs together to which a filter is fitted: some seconds of work.
FITTED = 3_000_000


class Recurrent(Predictor):
    """Common part of `LSTM` and `GRU`."""

    vectorised, takes_state = True, True
    first_bias, last_bias = "recurrent.bias_ih_l0", "out.bias"
    cell: type[nn.RNNBase]
    gates: int

    def __init__(
        self,
        channels: int,
        params: int,
        width: int = 24,
        memory_samples: int = 512,
        dry_skip: bool = True,
        feedback: bool = True,
        filter_taps: int = 0,
    ) -> None:
        super().__init__()
        check_least(1, width=width, memory_samples=memory_samples)
        check_least(0, filter_taps=filter_taps)
        self.plain_samples = filter_taps > 0
        # Oldest tap first; fitted, not trained.
        self.register_buffer("filter", torch.zeros(1, 1, filter_taps) if filter_taps else None)
        # Features of dry; and all that the cell sees of it, the output of the filter too.
        self.channels, self.seen = channels, channels + (filter_taps > 0)
        self.width, self.feedback = width, feedback
        self.receptive_field = max(memory_samples + 1, filter_taps)
        self.recurrent = self.cell(self.seen + (channels if feedback else 0), width)
        self.out = nn.Linear(width, params)
        self.skip = nn.Linear(self.seen, params, bias=False) if dry_skip else None
        if feedback:
            # Start with a weak loop, so that the first free runs stay bounded.
            self.recurrent.weight_ih_l0.data[:, self.seen :].mul_(0.3)

    @torch.no_grad()
    def fit(self, songs: Sequence[tuple[Tensor, Tensor]]) -> None:
        """The filter with the least squared error over the songs' beginnings, with which the output begins."""
        if self.filter is None:
            return
        samples = FITTED // len(songs)
        beginnings = [(dry[:samples], wet[:samples]) for dry, wet in songs]
        self.filter.copy_(fit_filter(beginnings, self.filter.numel()).flip(0))
        if self.skip is not None:
            self.skip.weight.copy_(torch.tensor([[0.0, 1.0]]))

    def forward(self, dry: Tensor, wet: Tensor, *state: Tensor) -> Tensor:
        """The state `memory_samples` before the first prediction is zero, or given: (width,) each."""
        if self.filter is not None:
            past = self.filter.numel() - 1
            dry = torch.cat((dry, F.conv1d(F.pad(dry, (past, 0)), self.filter)), dim=1)
        seen = torch.cat((dry, F.pad(wet, (1, -1))), dim=1) if self.feedback else dry
        given = tuple(x.expand(1, len(dry), -1) for x in state)
        hidden, _ = self.recurrent(seen.permute(2, 0, 1), given[0] if len(given) == 1 else given or None)
        params = self._output(hidden, dry.permute(2, 0, 1))
        return params.permute(1, 2, 0)[..., self.receptive_field - 1 :]

    def _output(self, hidden: Tensor, dry: Tensor) -> Tensor:
        params = self.out(hidden)
        return params if self.skip is None else params + self.skip(dry)

    def _weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        r = self.recurrent
        return r.weight_ih_l0, r.weight_hh_l0, r.bias_ih_l0, r.bias_hh_l0

    def plan(self, plan: Plan, dry: int, wet: int) -> int:
        rows, seen = self.recurrent.weight_ih_l0[..., None], self._plan_seen(plan, dry)
        inputs = [Term(value, rows[:, columns]) for value, columns in seen]
        if self.feedback:
            inputs.append(Term(wet, rows[:, self.seen :]))
        terms = [Term(self._plan_cell(plan, inputs), self.out.weight[..., None])]
        if self.skip is not None:
            terms += [Term(value, self.skip.weight[:, columns, None]) for value, columns in seen]
        return plan.add(*terms, bias=self.out.bias)

    def _plan_seen(self, plan: Plan, dry: int) -> list[tuple[int, slice]]:
        """What the cell sees of dry, and which columns of the weights are for it."""
        seen = [(dry, slice(self.channels))]
        if self.filter is not None:
            seen.append((plan.add(Term(dry, self.filter)), slice(self.channels, self.seen)))
        return seen

    @abstractmethod
    def _plan_cell(self, plan: Plan, inputs: list[Term]) -> int:
        """Append the cell to a plan; return the number of its next hidden state's value."""


class LSTM(Recurrent):
    """A long short-term memory (PyTorch's, gates in the order i, f, g, o).

    Args:
        channels: feature channels a sample (C), set by the input representation.
        params: parameters of the next sample (P), set by the output representation.
        width: units, at least 1.
        memory_samples: true samples seen before a prediction counts in training, at least 1.
        dry_skip: whether dry is added to the output, through learned gains.
        feedback: False for the control that sees no wet samples.
        filter_taps: of a filter of dry, whose output is seen beside dry and added to the output; 0 for none. It is the
            best fixed filter of the training songs (`fit`), so that what is left to learn is what no filter does; it
            takes and makes plain samples: `repr=raw` only.
    """

    cell, gates = nn.LSTM, 4

    def _plan_cell(self, plan: Plan, inputs: list[Term]) -> int:
        _, own, *biases = self._weights()
        return cells.lstm(plan, inputs, own, sum(biases))


class GRU(Recurrent):
    """A gated recurrent unit (PyTorch's, gates in the order r, z, n). Arguments as for `LSTM`."""

    cell, gates = nn.GRU, 3
    # PyTorch trains an LSTM as one operation on a CPU, but a GRU step by step.
    slow_forward = True

    def _plan_cell(self, plan: Plan, inputs: list[Term]) -> int:
        _, own, *biases = self._weights()
        return cells.gru(plan, inputs, own, tuple(biases))
