"""Rollouts for training: a free run of K samples with its gradient, without autograd's work at every step.

The same numbers as `fxemu.rollout.free_run`, from the plan. Everything that does not hear the feedback is
convolved for the whole stretch at once, under autograd; the rest runs step by step in one autograd function with
its backward pass written out. Inside it, time comes first and the batch last, so that a window is a contiguous
block of rows and each layer of each step is one matrix product, in place. Weight gradients are summed over all
steps at once.

Shapes: B batch, H samples of history, K steps, U units, W width of a source, N taps.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from fxemu.activations import activate_, slope
from fxemu.engine.batch import boundary, drive, evaluate, pasts
from fxemu.plan import DRY, FIRST, WET, Plan, Term
from fxemu.rollout import ClosedLoop


def rollout(loop: ClosedLoop, dry: Tensor, history: Tensor) -> Tensor:
    """Free-run from a true history: dry (B, 1, H + K), history (B, 1, H) to the prediction (B, 1, K).

    H must be at least `loop.warm_up`. Gradients flow to the weights, through all K steps, and not to the audio.
    """
    plan, steps = loop.plan(), dry.shape[-1] - history.shape[-1]
    if history.shape[-1] < loop.warm_up:
        raise ValueError(f"history: got {history.shape[-1]} samples; this predictor needs {loop.warm_up}")
    signals = evaluate(plan, {DRY: dry}, boundary(plan))
    if plan.last in signals:
        return signals[plan.last][..., -steps:].clamp(-loop.limit, loop.limit)
    past = pasts(plan, dry[..., :-steps], history)
    chain = _Chain(plan, steps, float(loop.limit))
    drives = [_time_first(drive(plan, value, signals, steps)) for value in chain.layers]
    matrices = [_matrix(term.weight).to(dry.device) for term in chain.terms]
    tensors = [*drives, *(_time_first(past[value]) for value in chain.tapped), *matrices]
    return _Rollout.apply(chain, *tensors).permute(2, 1, 0)


def _time_first(x: Tensor) -> Tensor:
    """(B, W, T) to (T, W, B)."""
    return x.permute(2, 1, 0).contiguous()


def _matrix(weight: Tensor) -> Tensor:
    """(U, W, N) as the matrix (U, N * W) that multiplies a window of rows."""
    return weight.permute(0, 2, 1).flatten(1)


class _Chain:
    """The layers inside the feedback loop, in order, and how long and how loud to run them."""

    def __init__(self, plan: Plan, steps: int, limit: float) -> None:
        self.steps, self.limit = steps, limit
        self.layers = plan.looping()
        self.widths = {value: plan.width(value) for value in self.layers}
        self.activations = {value: plan.layers[value - FIRST].activation for value in self.layers}
        spans = plan.histories()
        self.tapped = [WET, *(value for value in self.layers if spans[value])]
        self.terms, self.terms_of = [], {}
        for value in self.layers:
            own = plan.looping_terms(value)
            self.terms_of[value] = range(len(self.terms), len(self.terms) + len(own))
            self.terms += own


class _Rollout(torch.autograd.Function):
    """(chain, a drive a layer, a past a tapped value, a matrix a term) to the prediction (K, 1, B)."""

    @staticmethod
    def forward(ctx: FunctionCtx, chain: _Chain, *tensors: Tensor) -> Tensor:
        layers, tapped, terms = chain.layers, chain.tapped, chain.terms
        drives = dict(zip(layers, tensors, strict=False))
        pasts = dict(zip(tapped, tensors[len(layers) :], strict=False))
        matrices = tensors[len(layers) + len(tapped) :]
        batch = pasts[WET].shape[-1]
        tape = {WET: _tape(pasts[WET], chain.steps, 1, batch)}
        for value in layers:
            units = chain.widths[value]
            tape[value] = _tape(pasts.get(value, drives[value].new_empty(0, units, batch)), chain.steps, units, batch)
        rows = {value: tape[value][-chain.steps :].unbind(0) for value in layers}
        inputs = {value: drives[value].expand(chain.steps, -1, batch).unbind(0) for value in layers}
        windows = [_windows(tape[t.source], t, chain.steps, t.source == WET) for t in terms]
        fed_back = tape[WET][-chain.steps :].unbind(0)
        for t in range(chain.steps):
            for value in layers:
                z, given = rows[value][t], inputs[value][t]
                for i in chain.terms_of[value]:
                    torch.addmm(given, matrices[i], windows[i][t], out=z)
                    given = z
                activate_(z, chain.activations[value])
            torch.clamp(rows[layers[-1]][t], -chain.limit, chain.limit, out=fed_back[t])
        ctx.chain, ctx.tape, ctx.matrices = chain, tape, matrices
        ctx.drive_shapes = [drives[value].shape for value in layers]
        return tape[WET][-chain.steps :].clone()

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        chain, tape, steps = ctx.chain, ctx.tape, ctx.chain.steps
        layers, terms = chain.layers, chain.terms
        grads = {value: torch.zeros_like(tape[value]) for value in tape}
        grads[WET][-steps:] = grad
        # The listener hears the clamped sample too, so its gradient stops where the clamp holds.
        heard = tape[layers[-1]][-steps:].abs() < chain.limit
        slopes = {v: slope(tape[v][-steps:], chain.activations[v]).unbind(0) for v in layers}
        deltas = {value: grads[value][-steps:].unbind(0) for value in layers}
        fed_back, open_ = grads[WET][-steps:].unbind(0), heard.unbind(0)
        windows = [_windows(grads[t.source], t, steps, t.source == WET) for t in terms]
        transposed = [matrix.t() for matrix in ctx.matrices]
        for t in reversed(range(steps)):
            deltas[layers[-1]][t].addcmul_(fed_back[t], open_[t].to(grad.dtype))
            for value in reversed(layers):
                delta = deltas[value][t].mul_(slopes[value][t])
                for i in chain.terms_of[value]:
                    windows[i][t].addmm_(transposed[i], delta)
        # A layer driven by its bias alone has one drive for all steps and streams.
        drive_grads = [grads[v][-steps:].sum_to_size(s) for v, s in zip(layers, ctx.drive_shapes, strict=True)]
        past_grads = [grads[v][: tape[v].shape[0] - steps] for v in chain.tapped]
        owner = {i: value for value in layers for i in chain.terms_of[value]}
        matrix_grads = [
            _summed_outer(grads[owner[i]][-steps:], _stacked(tape[t.source], t, steps, t.source == WET))
            for i, t in enumerate(terms)
        ]
        return None, *drive_grads, *past_grads, *matrix_grads


def _tape(past: Tensor, steps: int, width: int, batch: int) -> Tensor:
    """Room for a value's past and its K steps: (past + K, W, B)."""
    tape = past.new_empty(past.shape[0] + steps, width, batch)
    tape[: past.shape[0]] = past
    return tape


def _stacked(tape: Tensor, term: Term, steps: int, is_wet: bool) -> Tensor:
    """A term's windows over all steps, as a view (K, N * W, B) of the tape."""
    taps, width = term.weight.shape[-1], tape.shape[1]
    if term.dilation != 1 and taps != 1:
        raise NotImplementedError("rollouts take dilated terms over dry only")
    # WET at step t is the sample made at step t - 1, which lies one row further up.
    end = tape.shape[0] - (1 if is_wet else 0)
    first = end - steps - taps + 1
    rows = tape[first:end].flatten(0, 1)
    return rows.unfold(0, taps * width, width).transpose(1, 2)


def _windows(tape: Tensor, term: Term, steps: int, is_wet: bool) -> tuple[Tensor, ...]:
    return _stacked(tape, term, steps, is_wet).unbind(0)


def _summed_outer(delta: Tensor, windows: Tensor) -> Tensor:
    """Sum over steps and batch of delta (K, U, B) times windows (K, V, B): (U, V)."""
    return torch.bmm(delta, windows.transpose(1, 2)).sum(0)
