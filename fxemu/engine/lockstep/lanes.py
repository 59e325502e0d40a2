"""Memory for many streams side by side, in which every number is a row of lanes, and the loops of training over it.

On the CPU they are compiled (`numba_loops.py`), for groups of LANES streams; elsewhere PyTorch's (`torch_loops.py`),
all streams being one group.

Shapes: B batch, G groups of streams (the last one padded), K samples, W width, U units.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fxemu.engine.activations import LANES
from fxemu.engine.feedforward import drive, evaluate, stateless_past_values
from fxemu.engine.layout import Layout
from fxemu.engine.lockstep import numba_loops, torch_loops
from fxemu.engine.partition import Partition
from fxemu.engine.plan import DRY, Plan

# Numbers that the streams of a sub-batch may take up: 4 MB, well inside the caches that cores share.
CACHE = 1_000_000


def compiled(where: torch.device) -> bool:
    """Whether the compiled loops run on a device."""
    return where.type == "cpu"


def layout_for(partition: Partition, samples: int, batch: int, where: torch.device) -> Layout:
    """The memory layout for a block of samples of `batch` streams on a device, with every value kept."""
    return Layout(partition, samples, LANES if compiled(where) else batch, keep=True)


def memory_for(layout: Layout, batch: int, where: torch.device) -> Tensor:
    """Silent memory for `batch` streams: (G, layout.size)."""
    return torch.zeros(-(-batch // layout.lanes), layout.size, device=where)


def sub_batches(layout: Layout, batch: int, where: torch.device) -> list[slice]:
    """Slices of a batch to run one after another: each as many streams as a cache can hold, or all on a GPU."""
    threads = torch.get_num_threads()
    span = layout.lanes * threads * max(1, CACHE // (layout.size * threads)) if compiled(where) else batch
    return [slice(first, min(first + span, batch)) for first in range(0, batch, span)]


def write_streams(rows: Tensor, x: Tensor) -> None:
    """Write the streams x (B, W, T) to rows (G, T, W, lanes); lanes beyond them stay as they are."""
    # Through (W, T, lanes): PyTorch transposes a matrix in tiles, and anything else number by number.
    for group, streams in zip(rows, x.split(rows.shape[-1]), strict=True):
        turned = streams.flatten(1).t().contiguous().view(*x.shape[1:], -1)
        group[..., : turned.shape[-1]] = turned.transpose(0, 1)


def broadcast_stream(rows: Tensor, x: Tensor) -> None:
    """Write one stream x (1, W, T), or (1, W, 1) for all samples, to all lanes of rows (G, T, W, lanes)."""
    rows.copy_(x.permute(0, 2, 1)[..., None])


def read_streams(rows: Tensor, out: Tensor) -> Tensor:
    """Write rows (G, T, W, lanes) to the streams out (B, W, T), which is returned."""
    for group, streams in zip(rows, out.split(rows.shape[-1]), strict=True):
        turned = group[..., : streams.shape[0]].transpose(0, 1).contiguous()
        streams.view(streams.shape[0], -1).copy_(turned.flatten(0, 1).t())
    return out


def run_forward(layout: Layout, memory: Tensor, forced: bool = False) -> None:
    """Run the loop in place; `forced` leaves out the last step, which leaves the given feedback unmodified."""
    if not compiled(memory.device):
        torch_loops.forward(layout, memory, forced)
        return
    tables, steps = layout.tables, np.uint64(layout.samples)
    rest = tables.weights, tables.ops[: -1 if forced else None], tables.parameters, tables.items
    _for_each_group(lambda g: numba_loops.forward(steps, memory[g].numpy(), *rest), memory.shape[0])


def run_backward(layout: Layout, memory: Tensor, grads: Tensor, forced: bool = False) -> None:
    """Turn the gradients of outputs in `grads` into those before each activation and of all that was read."""
    if not compiled(memory.device):
        torch_loops.backward(layout, memory, grads, forced)
        return
    tables, steps = layout.tables, np.uint64(layout.samples)
    rest = tables.weights, tables.ops[: -1 if forced else None], tables.parameters, tables.items
    _for_each_group(lambda g: numba_loops.backward(steps, memory[g].numpy(), grads[g].numpy(), *rest), memory.shape[0])


def _for_each_group(run: Callable[[int], None], groups: int) -> None:
    """Run the groups, as many at once as PyTorch uses threads: the compiled loops hold no lock."""
    workers = min(torch.get_num_threads(), groups)
    if workers == 1:
        for group in range(groups):
            run(group)
        return
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(run, range(groups)))


def past_values(partition: Partition, inputs: dict[int, Tensor], wet: Tensor) -> dict[int, Tensor]:
    """Past samples (B, W, rows) of the values in the loop that look back, from a history of inputs and wet (B, 1, H).

    Gradient flows through the values, except for plans with states beside WET, which run over the history. Without a
    history (H = 0) all are zero, and inputs may be left out.
    """
    plan = partition.plan
    if not wet.shape[-1]:
        return {v: wet.new_zeros(wet.shape[0], plan.width(v), rows) for v, rows in partition.tapped.items()}
    compute = _teacher_forced_past_values if plan.hidden_states() else stateless_past_values
    return compute(partition, inputs, wet)


@torch.no_grad()
def _teacher_forced_past_values(partition: Partition, inputs: dict[int, Tensor], wet: Tensor) -> dict[int, Tensor]:
    """`past_values` by a teacher-forced run from silence, for plans with hidden states."""
    batch, samples, plan = wet.shape[0], wet.shape[-1], partition.plan
    signals = evaluate(plan, padded(plan, inputs), partition.boundary, samples)
    layout = layout_for(partition, samples, batch, wet.device)
    memory = memory_for(layout, batch, wet.device)
    write_inputs(layout, memory, {v: s.detach() for v, s in signals.items()})
    write_streams(layout.now(memory, plan.last), wet)
    run_forward(layout, memory, forced=True)
    return {
        value: read_streams(
            layout.rows(memory, layout.signals[value])[:, -rows:], wet.new_empty(batch, plan.width(value), rows)
        )
        for value, rows in layout.tapped.items()
    }


def padded(plan: Plan, inputs: dict[int, Tensor]) -> dict[int, Tensor]:
    """Inputs (B, W, T) after the silence that the plan looks back to, before which control values stood still."""
    before = plan.reach()
    still = {v: torch.cat((x[..., :1].expand(-1, -1, before), x), dim=-1) for v, x in inputs.items() if v != DRY}
    return {DRY: F.pad(inputs[DRY], (before, 0)), **still}


def write_inputs(layout: Layout, memory: Tensor, signals: dict[int, Tensor]) -> None:
    """Write the precomputed inputs of the loop to memory, given the feed-forward signals."""
    inputs = {value: drive(layout.partition, value, signals, layout.samples) for value in layout.drives}
    inputs |= {value: signals[value][..., -layout.samples :] for value in layout.outside}
    for value, x in inputs.items():
        rows = outside_rows(layout, memory, value)
        write_streams(rows, x) if x.shape[0] > 1 else broadcast_stream(rows, x)


def outside_rows(layout: Layout, memory: Tensor, value: int) -> Tensor:
    """The rows for a layer's precomputed part, or for a value computed before the loop: (G, T, W, lanes)."""
    if value not in layout.drives:
        return layout.now(memory, value)
    signal = layout.drives[value]
    return layout.rows(memory, signal)[:, signal.past :]
