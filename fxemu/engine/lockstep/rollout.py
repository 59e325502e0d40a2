"""Rollouts for training: a free run of K samples with its gradient, without autograd's work at every step.

The same numbers as `step.py`; and, teacher forced, those of a predictor's `forward`. Everything that does not depend on
the feedback is computed for all samples at once, under autograd; the rest runs in the loops of `lanes.py`, forward and
backward, as one autograd function. Weight gradients are summed over all steps at once.

Shapes: B batch, H samples of history, K steps, U units, W width of a source, N taps, C rows of a table, G groups of
`lanes` streams.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from fxemu.engine.control import input_signals
from fxemu.engine.feedforward import drive, evaluate
from fxemu.engine.layout import Layout, weights_of
from fxemu.engine.lockstep import lanes
from fxemu.engine.lookup import row_below
from fxemu.engine.partition import Partition
from fxemu.engine.plan import DRY, Lookup, Plan, Product, Term
from fxemu.engine.playable import Playable


@dataclass(frozen=True)
class Rollout:
    """A free run of K samples.

    Args:
        prediction: (B, 1, K).
        params: (B, P, K) that it was decoded from.
        past: what the next sample depends on, hidden states included, as `continue_rollout` takes it.
    """

    prediction: Tensor
    params: Tensor
    past: dict[int, Tensor]


def rollout(loop: Playable, dry: Tensor, history: Tensor, knobs: Tensor | None = None) -> Rollout:
    """Free-run from a history: dry (B, 1, H + K), wet history (B, 1, H) to K samples.

    A model with knobs needs where they stand, (B, knobs, H + K), or (B, knobs, 1) throughout.

    H must be at least `loop.warm_up`. Gradients flow to the weights, through all K steps, and not to the audio, nor
    through the memory of a recurrent predictor of the history.
    """
    if history.shape[-1] < loop.warm_up:
        raise ValueError(f"history: got {history.shape[-1]} samples; this predictor needs {loop.warm_up}")
    plan, knobs = planned(loop, knobs)
    partition = Partition(plan)
    inputs = input_signals(plan, dry, knobs)
    past = lanes.past_values(partition, {v: x[..., : history.shape[-1]] for v, x in inputs.items()}, history)
    return _free_run(partition, inputs, past, dry.shape[-1] - history.shape[-1])


def continue_rollout(
    loop: Playable, dry: Tensor, past: dict[int, Tensor], steps: int, knobs: Tensor | None = None
) -> Rollout:
    """Free-run for `steps` more samples, dry (B, 1, H + K) ending with them, from where another one ended."""
    plan, knobs = planned(loop, knobs)
    return _free_run(Partition(plan), input_signals(plan, dry, knobs), past, steps)


def planned(loop: Playable, knobs: Tensor | None) -> tuple[Plan, Tensor | None]:
    """The plan of a model, and the knobs that are its input: those that stand still are part of the biases."""
    still = knobs is not None and knobs.shape[-1] == 1
    return (loop.plan(knobs[..., 0]), None) if still else (loop.plan(), knobs)


def _free_run(partition: Partition, inputs: dict[int, Tensor], past: dict[int, Tensor], steps: int) -> Rollout:
    plan = partition.plan
    signals = evaluate(plan, inputs, partition.boundary, steps)
    if plan.last in signals:
        return Rollout(signals[plan.last][..., -steps:], signals[plan.params][..., -steps:], {})
    prediction, params, *ends = _run(partition, signals, past, steps)
    return Rollout(prediction, params, dict(zip(partition.tapped, ends, strict=True)))


def forced(plan: Plan, dry: Tensor, wet: Tensor, knobs: Tensor | None = None) -> Tensor:
    """Parameters (B, P, T) from silence with the true past at every step: dry, wet (B, 1, T), knobs; with gradient."""
    steps = dry.shape[-1]
    partition = Partition(plan)
    signals = evaluate(plan, lanes.padded(plan, input_signals(plan, dry, knobs)), partition.boundary, steps)
    if plan.last in signals:
        return signals[plan.params][..., -steps:]
    silence = lanes.past_values(partition, {}, wet[..., :0])
    return _run(partition, signals, silence, steps, fed=wet)[1]


def _run(
    partition: Partition, signals: dict[int, Tensor], past: dict[int, Tensor], steps: int, fed: Tensor | None = None
) -> tuple[Tensor, ...]:
    """The wet signal (B, 1, steps), its parameters (B, P, steps) and the pasts after it, given values and pasts before.

    Given `fed` (B, 1, steps), that is fed back in place of the prediction, and no pasts are returned.
    """
    layout = lanes.layout_for(partition, steps, signals[DRY].shape[0], signals[DRY].device)
    drives = [drive(partition, v, signals, steps) for v in layout.drives]
    outside = [signals[value][..., -steps:] for value in layout.outside]
    weights = [tensor for _, tensor in weights_of(partition, layout.looping)]
    return _Rollout.apply(layout, fed, *drives, *outside, *(past[v] for v in layout.tapped), *weights)


class _Rollout(torch.autograd.Function):
    """(layout, fed, a drive a layer, outside signals, a past a tapped value, weights) to those of `_run`.

    One sub-batch after another, so that what a step writes is still in the cache when the next one reads it.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, layout: Layout, fed: Tensor | None, *tensors: Tensor) -> tuple[Tensor, ...]:
        inputs = tensors[: len(layout.drives) + len(layout.outside) + len(layout.tapped)]
        batch, forced = max(x.shape[0] for x in inputs), fed is not None
        sub_batches = lanes.sub_batches(layout, batch, inputs[0].device)
        memories = []
        values = layout.plan.last, layout.plan.params
        outputs = [inputs[0].new_empty(batch, layout.plan.width(value), layout.samples) for value in values]
        tapped = {} if forced else layout.tapped
        ends = [inputs[0].new_empty(batch, layout.plan.width(value), rows) for value, rows in tapped.items()]
        for streams in sub_batches:
            memory = lanes.memory_for(layout, streams.stop - streams.start, inputs[0].device)
            memories.append(memory)
            targets = [lanes.outside_rows(layout, memory, value) for value in (*layout.drives, *layout.outside)]
            for rows, x in zip(targets + _past_rows(layout, memory), inputs, strict=True):
                lanes.write_streams(rows, x[streams]) if x.shape[0] > 1 else lanes.broadcast_stream(rows, x)
            if fed is not None:
                lanes.write_streams(layout.now(memory, layout.plan.last), fed[streams])
            lanes.run_forward(layout, memory, forced)
            for value, out in zip(values, outputs, strict=True):
                lanes.read_streams(layout.now(memory, value), out[streams])
            for value, end in zip(tapped, ends, strict=True):
                rows = layout.rows(memory, layout.signals[value])
                lanes.read_streams(rows[:, rows.shape[1] - end.shape[-1] :], end[streams])
        ctx.layout, ctx.sub_batches, ctx.memories, ctx.forced = layout, sub_batches, memories, forced
        ctx.shapes = [x.shape for x in inputs]
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*ends)
        return *outputs, *ends

    @staticmethod
    def backward(ctx: Any, *outer: Tensor | None) -> tuple[Tensor | None, ...]:
        layout, needed = ctx.layout, ctx.needs_input_grad[2 + len(ctx.shapes) :]
        owners = [(value, owner) for value in layout.looping for owner, _ in weights_of(layout.partition, [value])]
        wanted = [pair for pair, need in zip(owners, needed, strict=True) if need]
        input_gradients = [ctx.memories[0].new_zeros(shape) for shape in ctx.shapes]
        weight_gradients = []
        for streams, memory in zip(ctx.sub_batches, ctx.memories, strict=True):
            grads = torch.zeros_like(memory)
            for value, grad in zip((layout.plan.last, layout.plan.params), outer, strict=False):
                if grad is not None:
                    lanes.write_streams(layout.now(grads, value), grad[streams])
            lanes.run_backward(layout, memory, grads, ctx.forced)
            # The gradient before a layer's activation is also that of its precomputed part.
            sources = [layout.now(grads, value) for value in (*layout.drives, *layout.outside)]
            for rows, total in zip(sources + _past_rows(layout, grads), input_gradients, strict=True):
                _collect(rows, total, streams)
            weight_gradients.append([_weight_gradient(layout, memory, grads, *pair) for pair in wanted])
        ready = (torch.stack(parts).sum(0) for parts in zip(*weight_gradients, strict=True))
        return None, None, *input_gradients, *(next(ready) if need else None for need in needed)


def _past_rows(layout: Layout, memory: Tensor) -> list[Tensor]:
    """The rows (G, T, W, lanes) before the block, of every value in the loop whose past is read."""
    return [layout.rows(memory, layout.signals[value])[:, :past] for value, past in layout.tapped.items()]


def _collect(rows: Tensor, total: Tensor, streams: slice) -> None:
    """Write the gradient (G, T, U, lanes) of some streams to that of all, (B, U, T).

    Or add it, summed over what shares the value: all samples, (B, U, 1), all streams, (1, U, T), or both, (1, U, 1).
    """
    if total.shape[-1] == rows.shape[1] and total.shape[0] > 1:
        lanes.read_streams(rows, total[streams])
        return
    if total.shape[0] > 1:
        lanes.read_streams(rows.sum(1, keepdim=True), total[streams])
        return
    shared = rows.sum((0, 3)).t()[None]
    total += shared if shared.shape[-1] == total.shape[-1] else shared.sum(-1, keepdim=True)


def _weight_gradient(
    layout: Layout, memory: Tensor, grads: Tensor, value: int, owner: Term | Product | Lookup
) -> Tensor:
    delta = layout.now(grads, value)
    if isinstance(owner, Term):
        return _term_gradient(layout, memory, delta, owner)
    if isinstance(owner, Product):
        factors = [layout.delayed(memory, factor) for factor in owner.factors]
        return torch.stack([delta, *factors]).prod(0).sum((0, 1, 3))
    return _table_gradient(layout.delayed(memory, owner.source), delta, owner)


def _term_gradient(layout: Layout, memory: Tensor, delta: Tensor, term: Term) -> Tensor:
    """Sum over steps and streams of delta times window: (U, W, N)."""
    units, width, taps = term.weight.shape
    parts = [_outer_sum(delta, x) for x in layout.windows(memory, term)]
    return torch.cat(parts, dim=1).view(units, taps, width).transpose(1, 2)


def _outer_sum(delta: Tensor, x: Tensor) -> Tensor:
    """Sum over groups, steps and lanes of (G, K, U, lanes) times (G, K, V, lanes): (U, V).

    Step by step, where both lie in rows already: an einsum would copy them first, which takes as long again.
    """
    return torch.stack([torch.bmm(d, w.transpose(1, 2)).sum(0) for d, w in zip(delta, x, strict=True)]).sum(0)


def _table_gradient(place: Tensor, delta: Tensor, lookup: Lookup) -> Tensor:
    """Delta added to the rows that were read: (C, U)."""
    rows = lookup.table.shape[0]
    low, share = row_below(place.flatten(), rows)
    share = share[:, None]
    share = (share > 0.5).to(delta.dtype) if lookup.nearest else share
    flat = delta.transpose(2, 3).flatten(0, 2)
    table = flat.new_zeros(rows, flat.shape[1])
    return table.index_add(0, low, (1 - share) * flat).index_add(0, low + 1, share * flat)
