"""Recurrent cells as steps of a plan, for our own predictors and for the files of other runtimes.

Shapes: H units, W width of an input, G gates (an LSTM has 4, a GRU 3), in PyTorch's order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from fxemu.engine.plan import SIGMOID, TANH, Activation, Plan, Product, Term


def lstm(plan: Plan, inputs: Sequence[Term], own: Tensor, bias: Tensor) -> int:
    """Append a long short-term memory; return the number of its next hidden state's value.

    Args:
        plan: to append to.
        inputs: its input terms, with weights (4 H, W, 1), gates in the order i, f, g, o.
        own: weights of its hidden state (4 H, H).
        bias: (4 H,).
    """
    h = own.shape[1]
    hidden, cell = plan.state(h), plan.state(h)

    def gate(first: int, count: int, activation: Activation) -> int:
        rows = slice(first * h, (first + count) * h)
        terms = *_rows(inputs, rows), Term(hidden, own[rows, :, None])
        return plan.add(*terms, bias=bias[rows], activation=activation)

    # Each gate by itself, and the one needed last made last: a processor computes it while it waits for the others.
    i_f, g, o = gate(0, 2, SIGMOID), gate(2, 1, TANH), gate(3, 1, SIGMOID)
    next_cell = plan.mix(Product((plan.part(i_f, h, h), cell)), Product((plan.part(i_f, 0, h), g)))
    next_hidden = plan.mix(Product((o, plan.mix(Product((next_cell,)), activation=TANH))))
    plan.close(cell, next_cell)
    plan.close(hidden, next_hidden)
    return next_hidden


def gru(plan: Plan, inputs: Sequence[Term], own: Tensor, biases: tuple[Tensor, Tensor]) -> int:
    """Append a gated recurrent unit; return the number of its next hidden state's value.

    Args:
        plan: to append to.
        inputs: its input terms, with weights (3 H, W, 1), gates in the order r, z, n.
        own: weights of its hidden state (3 H, H).
        biases: of its inputs and of its hidden state, (3 H,) each.
    """
    h = own.shape[1]
    hidden, first, last = plan.state(h), slice(0, 2 * h), slice(2 * h, None)
    input_bias, own_bias = biases
    terms = *_rows(inputs, first), Term(hidden, own[first, :, None])
    r_z = plan.add(*terms, bias=input_bias[first] + own_bias[first], activation=SIGMOID)
    r, z = (plan.part(r_z, i * h, h) for i in (0, 1))
    input_n = plan.add(*_rows(inputs, last), bias=input_bias[last])
    own_n = plan.add(Term(hidden, own[last, :, None]), bias=own_bias[last])
    n = plan.mix(Product((input_n,)), Product((r, own_n)), activation=TANH)
    # (1 - z) n + z h
    next_hidden = plan.mix(Product((n,)), Product((z, n), -1.0), Product((z, hidden)))
    plan.close(hidden, next_hidden)
    return next_hidden


def _rows(terms: Sequence[Term], rows: slice) -> list[Term]:
    return [replace(term, weight=term.weight[rows]) for term in terms]
