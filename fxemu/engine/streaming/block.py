"""Two ways through a plan, for the blocks of one stream: most of a block at once before the loop, or all in turn."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor

from fxemu.engine.feedforward import drive
from fxemu.engine.layout import Layout
from fxemu.engine.opcodes import OUT
from fxemu.engine.plan import DRY
from fxemu.engine.schedule import Schedule
from fxemu.engine.streaming import loop

# Sizes of blocks whose layout is kept, so that a short block costs no more than its samples.
KEPT = 4

# What every value that is looked back to was, up to a moment: (1, W, rows).
Pasts = dict[int, Tensor]


class BlockRunner:
    """A way through a plan: what is had at once for a block and what in turn, and rooms for blocks of some sizes."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self._rooms: OrderedDict[tuple[int, bool], Block] = OrderedDict()

    def room(self, samples: int, fed: bool) -> Block:
        """For a block of so many samples; kept for the next."""
        size = samples, fed
        if size not in self._rooms:
            self._rooms[size] = Block(self.schedule, samples, fed)
        self._rooms.move_to_end(size)
        while len(self._rooms) > KEPT:
            self._rooms.popitem(last=False)
        return self._rooms[size]


class Block:
    """The layout of a block, its memory and its loop.

    Args:
        plan: what is played.
        samples: in the block.
        fed: whether it hears something else than what it makes.
    """

    def __init__(self, schedule: Schedule, samples: int, fed: bool) -> None:
        self.layout = layout = Layout(schedule, samples)
        self.memory, ops = torch.empty(layout.size + samples * fed), layout.tables.ops.copy()
        if fed:
            # A place of its own, so that what is heard stays as it was put in.
            ops[-1, OUT] = layout.size
        self.made = int(ops[-1, OUT])
        self.loop = loop.loop(layout, ops)
        # What is driven by its bias alone is the same in every block.
        self.driven = [v for v in layout.drives if layout.driven(v)]
        self._drive([v for v in layout.drives if not layout.driven(v)], {DRY: self.memory})

    def run(self, signals: dict[int, Tensor], pasts: Pasts, fed: Tensor | None) -> tuple[Tensor, Pasts]:
        """Wet (samples,) and what the next block looks back to, given what is had at once and what was before."""
        layout, memory, samples = self.layout, self.memory, self.layout.samples
        for value in layout.tapped:
            _put(memory, layout.signals[value].start, pasts[value])
        for value in layout.outside:
            signal = layout.signals[value]
            _put(memory, signal.start, signals[value][..., -samples - signal.past :])
        self._drive(self.driven, signals)
        if fed is not None:
            heard = layout.signals[layout.plan.last]
            memory[heard.row(0) : heard.end] = fed
        self.loop(memory.numpy(), samples)
        return memory[self.made : self.made + samples].clone(), {v: self._tail(v) for v in layout.tapped}

    def _drive(self, layers: list[int], signals: dict[int, Tensor]) -> None:
        """Put what some layers get from outside into memory."""
        for value in layers:
            given = drive(self.layout.schedule, value, signals, self.layout.samples)
            _put(self.memory, self.layout.drives[value].row(0), given)

    def _tail(self, value: int) -> Tensor:
        """The last samples of a value, the past of the next block: (1, W, rows)."""
        signal = self.layout.signals[value]
        last = self.memory[signal.end - signal.past * signal.width : signal.end]
        return last.reshape(1, signal.past, signal.width).mT.clone()


def _put(memory: Tensor, start: int, x: Tensor) -> None:
    """Write x (1, W, T) as T rows of W."""
    # The other way round PyTorch may take its path for large matrices, which is slow for a few columns.
    memory[start : start + x.numel()].view(x.shape[-1], x.shape[1]).T.copy_(x[0])
