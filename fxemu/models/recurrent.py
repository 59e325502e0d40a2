"""Recurrent predictors: an LSTM or a GRU that hears dry and, with feedback, its own last wet sample.

`feedback=False` is the black-box model of Wright et al. 2019, "Real-time black-box modelling with recurrent neural
networks" (one recurrent layer, a linear layer, and the dry sample added; here with a learned gain).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fxemu.models.base import Predictor
from fxemu.plan import Activation, Plan, Product, Term

TANH, SIGMOID = Activation("tanh"), Activation("sigmoid")


class Recurrent(Predictor):
    """What both cells have in common; see `LSTM` and `GRU`."""

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
        if width < 1 or memory_samples < 1:
            raise ValueError(f"width and memory_samples: got {width} and {memory_samples}; both must be at least 1")
        self.channels, self.width, self.feedback = channels, width, feedback
        self.receptive_field = memory_samples + 1
        self.recurrent = self.cell(channels * (2 if feedback else 1), width)
        self.out = nn.Linear(width, params)
        self.skip = nn.Linear(channels, params, bias=False) if dry_skip else None
        if feedback:
            # Start with a weak loop, so that the first free runs stay bounded.
            self.recurrent.weight_ih_l0.data[:, channels:].mul_(0.3)

    def forward(self, dry: Tensor, wet: Tensor) -> Tensor:
        """The state is zero at the first sample given; what it has heard before a prediction is thus at least
        `memory_samples`."""
        seen = torch.cat((dry, F.pad(wet, (1, -1))), dim=1) if self.feedback else dry
        hidden, _ = self.recurrent(seen.permute(2, 0, 1))
        params = self._output(hidden, dry.permute(2, 0, 1))
        return params.permute(1, 2, 0)[..., self.receptive_field - 1 :]

    def _output(self, hidden: Tensor, dry: Tensor) -> Tensor:
        params = self.out(hidden)
        return params if self.skip is None else params + self.skip(dry)

    def step(self, dry: Tensor, wet: Tensor, state: Any) -> tuple[Tensor, Any]:
        seen = torch.cat((dry, wet), dim=1) if self.feedback else dry
        hidden, state = self._cell(seen, state)
        return self._output(hidden, dry), state

    @abstractmethod
    def _cell(self, seen: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One step of the cell: what it gives to the output, and its next state."""

    def _weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        r = self.recurrent
        return r.weight_ih_l0, r.weight_hh_l0, r.bias_ih_l0, r.bias_hh_l0

    def _terms(self, gates: slice, dry: int, wet: int) -> list[Term]:
        """Terms over dry and wet of some gates."""
        rows = self.recurrent.weight_ih_l0[self._rows(gates), :, None]
        terms = [Term(dry, rows[:, : self.channels])]
        return [*terms, Term(wet, rows[:, self.channels :])] if self.feedback else terms

    def _own(self, gates: slice, hidden: int) -> Term:
        """The term over the hidden state of some gates."""
        return Term(hidden, self.recurrent.weight_hh_l0[self._rows(gates), :, None])

    def _biases(self, gates: slice) -> tuple[Tensor, Tensor]:
        return self.recurrent.bias_ih_l0[self._rows(gates)], self.recurrent.bias_hh_l0[self._rows(gates)]

    def _rows(self, gates: slice) -> slice:
        return slice(gates.start * self.width, gates.stop * self.width)

    def _plan_output(self, plan: Plan, hidden: int, dry: int) -> int:
        terms = [Term(hidden, self.out.weight[..., None])]
        if self.skip is not None:
            terms.append(Term(dry, self.skip.weight[..., None]))
        return plan.add(*terms, bias=self.out.bias)


class LSTM(Recurrent):
    """A long short-term memory (PyTorch's, gates in the order i, f, g, o).

    Args:
        channels: feature channels a sample (C), set by the input representation.
        params: parameters of the next sample (P), set by the output representation.
        width: units, at least 1.
        memory_samples: true samples heard before a prediction counts in training, at least 1.
        dry_skip: whether dry is added to the output, through learned gains.
        feedback: False for the control that hears no wet samples.
    """

    cell, gates = nn.LSTM, 4

    def initial_state(self, batch: int) -> tuple[Tensor, Tensor]:
        """Zero hidden and cell states (B, width)."""
        zero = self.out.weight.new_zeros(batch, self.width)
        return zero, zero

    def _cell(self, seen: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        state = torch.lstm_cell(seen, state, *self._weights())
        return state[0], state

    def plan(self, plan: Plan, dry: int, wet: int) -> int:
        h, every = self.width, slice(0, 4)
        hidden, cell = plan.state(h), plan.state(h)
        gates = plan.add(*self._terms(every, dry, wet), self._own(every, hidden), bias=sum(self._biases(every)))
        i_f = plan.mix(Product((plan.part(gates, 0, 2 * h),)), activation=SIGMOID)
        g = plan.mix(Product((plan.part(gates, 2 * h, h),)), activation=TANH)
        o = plan.mix(Product((plan.part(gates, 3 * h, h),)), activation=SIGMOID)
        next_cell = plan.mix(Product((plan.part(i_f, h, h), cell)), Product((plan.part(i_f, 0, h), g)))
        next_hidden = plan.mix(Product((o, plan.mix(Product((next_cell,)), activation=TANH))))
        plan.close(cell, next_cell)
        plan.close(hidden, next_hidden)
        return self._plan_output(plan, next_hidden, dry)


class GRU(Recurrent):
    """A gated recurrent unit (PyTorch's, gates in the order r, z, n). Arguments as for `LSTM`."""

    cell, gates = nn.GRU, 3

    def initial_state(self, batch: int) -> Tensor:
        """A zero hidden state (B, width)."""
        return self.out.weight.new_zeros(batch, self.width)

    def _cell(self, seen: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        state = torch.gru_cell(seen, state, *self._weights())
        return state, state

    def plan(self, plan: Plan, dry: int, wet: int) -> int:
        hidden = plan.state(self.width)
        first, last = slice(0, 2), slice(2, 3)
        terms = *self._terms(first, dry, wet), self._own(first, hidden)
        r_z = plan.add(*terms, bias=sum(self._biases(first)), activation=SIGMOID)
        r, z = (plan.part(r_z, i * self.width, self.width) for i in (0, 1))
        seen_bias, own_bias = self._biases(last)
        seen = plan.add(*self._terms(last, dry, wet), bias=seen_bias)
        own = plan.add(self._own(last, hidden), bias=own_bias)
        n = plan.mix(Product((seen,)), Product((r, own)), activation=TANH)
        # (1 - z) n + z h
        next_hidden = plan.mix(Product((n,)), Product((z, n), -1.0), Product((z, hidden)))
        plan.close(hidden, next_hidden)
        return self._plan_output(plan, next_hidden, dry)
