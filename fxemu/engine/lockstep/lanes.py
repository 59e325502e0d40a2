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
from fxemu.engine.feedforward import drive, evaluate, pasts
from fxemu.engine.layout import Layout
from fxemu.engine.lockstep import numba_loops, torch_loops
from fxemu.engine.plan import DRY
from fxemu.engine.schedule import Schedule

# Numbers that the streams of one turn may take up: 4 MB, well inside the caches that cores share.
CACHE = 1_000_000


def compiled(where: torch.device) -> bool:
    """Whether the compiled loops run on a device."""
    return where.type == "cpu"


def layout_for(schedule: Schedule, samples: int, batch: int, where: torch.device) -> Layout:
    """The layout of a block of samples of `batch` streams on a device, with every value kept."""
    return Layout(schedule, samples, LANES if compiled(where) else batch, keep=True)


def memory_for(layout: Layout, batch: int, where: torch.device) -> Tensor:
    """Silent memory for `batch` streams: (G, layout.size)."""
    return torch.zeros(-(-batch // layout.lanes), layout.size, device=where)


def turns(layout: Layout, batch: int, where: torch.device) -> list[slice]:
    """The streams of a batch in turns: each as many as a cache can hold, or all on a GPU."""
    threads = torch.get_num_threads()
    span = layout.lanes * threads * max(1, CACHE // (layout.size * threads)) if compiled(where) else batch
    return [slice(first, min(first + span, batch)) for first in range(0, batch, span)]


def put(place: Tensor, x: Tensor) -> None:
    """Write the streams x (B, W, T) to rows (G, T, W, lanes); lanes beyond them stay as they are."""
    # Through (W, T, lanes): PyTorch transposes a matrix in tiles, and anything else number by number.
    for rows, streams in zip(place, x.split(place.shape[-1]), strict=True):
        turned = streams.flatten(1).t().contiguous().view(*x.shape[1:], -1)
        rows[..., : turned.shape[-1]] = turned.transpose(0, 1)


def share(place: Tensor, x: Tensor) -> None:
    """Write one stream x (1, W, T), or (1, W, 1) for all samples, to all lanes of rows (G, T, W, lanes)."""
    place.copy_(x.permute(0, 2, 1)[..., None])


def take(place: Tensor, out: Tensor) -> Tensor:
    """Write rows (G, T, W, lanes) to the streams out (B, W, T), which is returned."""
    for rows, streams in zip(place, out.split(place.shape[-1]), strict=True):
        turned = rows[..., : streams.shape[0]].transpose(0, 1).contiguous()
        streams.view(streams.shape[0], -1).copy_(turned.flatten(0, 1).t())
    return out


def run_forward(layout: Layout, memory: Tensor, forced: bool = False) -> None:
    """Run the loop in place; `forced` leaves out the last step, so that the wet signal stays as it was put in."""
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


def past_values(schedule: Schedule, dry: Tensor, wet: Tensor) -> dict[int, Tensor]:
    """The past of every looping value whose past is read, given dry and wet (B, 1, H) up to a moment: (B, W, rows).

    Gradient flows through it, except for plans with states beside WET, which run over the history. Where
    there is no history (H = 0), all is zero.
    """
    plan = schedule.plan
    if not wet.shape[-1]:
        return {v: wet.new_zeros(wet.shape[0], plan.width(v), rows) for v, rows in schedule.tapped.items()}
    return _remembered(schedule, dry, wet) if plan.hidden_states() else pasts(schedule, dry, wet)


@torch.no_grad()
def _remembered(schedule: Schedule, dry: Tensor, wet: Tensor) -> dict[int, Tensor]:
    """A teacher-forced run from silence over dry, wet (B, 1, H)."""
    batch, samples, plan = wet.shape[0], wet.shape[-1], schedule.plan
    signals = evaluate(plan, {DRY: F.pad(dry, (plan.reach(), 0))}, schedule.boundary, samples)
    layout = layout_for(schedule, samples, batch, wet.device)
    memory = memory_for(layout, batch, wet.device)
    fill(layout, memory, {v: s.detach() for v, s in signals.items()})
    put(layout.now(memory, plan.last), wet)
    run_forward(layout, memory, forced=True)
    return {
        value: take(
            layout.rows(memory, layout.signals[value])[:, -rows:], wet.new_empty(batch, plan.width(value), rows)
        )
        for value, rows in layout.tapped.items()
    }


def fill(layout: Layout, memory: Tensor, signals: dict[int, Tensor]) -> None:
    """Put all that the loop reads from before it, given the feed-forward signals, into memory."""
    given = {value: drive(layout.schedule, value, signals, layout.samples) for value in layout.drives}
    given |= {value: signals[value][..., -layout.samples :] for value in layout.outside}
    for value, x in given.items():
        place = outside_rows(layout, memory, value)
        put(place, x) if x.shape[0] > 1 else share(place, x)


def outside_rows(layout: Layout, memory: Tensor, value: int) -> Tensor:
    """The rows for a layer's part from before the loop, or for a value from there: (G, T, W, lanes)."""
    if value not in layout.drives:
        return layout.now(memory, value)
    signal = layout.drives[value]
    return layout.rows(memory, signal)[:, signal.past :]
