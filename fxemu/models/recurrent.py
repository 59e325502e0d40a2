"""Recurrent predictors: an LSTM or a GRU that reads dry and, with feedback, the previous wet sample.

`feedback=False` is the black-box model of Wright et al. 2019, "Real-time black-box modelling with recurrent neural
networks" (one recurrent layer, a linear layer, and the dry sample added; here with a learned gain).
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fxemu.engine import cells
from fxemu.engine.plan import Plan, Term
from fxemu.errors import check_least
from fxemu.models.base import Predictor


class Recurrent(Predictor):
    """Common part of `LSTM` and `GRU`."""

    vectorised, takes_state, first_bias = True, True, "recurrent.bias_ih_l0"
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
    ) -> None:
        super().__init__()
        check_least(1, width=width, memory_samples=memory_samples)
        self.channels, self.width, self.feedback = channels, width, feedback
        self.receptive_field = memory_samples + 1
        self.recurrent = self.cell(channels * (2 if feedback else 1), width)
        self.out = nn.Linear(width, params)
        self.skip = nn.Linear(channels, params, bias=False) if dry_skip else None
        if feedback:
            # Start with a weak loop, so that the first free runs stay bounded.
            self.recurrent.weight_ih_l0.data[:, channels:].mul_(0.3)

    def forward(self, dry: Tensor, wet: Tensor, *state: Tensor) -> Tensor:
        """The state `memory_samples` before the first prediction is zero, or given: (width,) each."""
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
        rows = self.recurrent.weight_ih_l0[..., None]
        inputs = [Term(dry, rows[:, : self.channels])]
        if self.feedback:
            inputs.append(Term(wet, rows[:, self.channels :]))
        terms = [Term(self._plan_cell(plan, inputs), self.out.weight[..., None])]
        if self.skip is not None:
            terms.append(Term(dry, self.skip.weight[..., None]))
        return plan.add(*terms, bias=self.out.bias)

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
