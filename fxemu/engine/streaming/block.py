"""Running the blocks of one stream by a schedule: memory, layout and loop for each size of block."""

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

# The past of every value whose past is read, up to a moment: (1, W, rows).
Pasts = dict[int, Tensor]


class BlockRunner:
    """Blocks of any size of one stream, by one schedule; those of the last sizes are kept."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self._blocks: OrderedDict[tuple[int, bool], Block] = OrderedDict()

    def block(self, samples: int, fed: bool) -> Block:
        """The block for so many samples, kept for the next of that size; `fed` as for `Block`."""
        size = samples, fed
        if size not in self._blocks:
            self._blocks[size] = Block(self.schedule, samples, fed)
        self._blocks.move_to_end(size)
        while len(self._blocks) > KEPT:
            self._blocks.popitem(last=False)
        return self._blocks[size]


class Block:
    """A block of one stream: its layout, its memory and its loop.

    Args:
        schedule: of the plan that is played.
        samples: in the block.
        fed: whether something else than its prediction is fed back.
    """

    def __init__(self, schedule: Schedule, samples: int, fed: bool) -> None:
        self.layout = layout = Layout(schedule, samples)
        self.memory, ops = torch.empty(layout.size + samples * fed), layout.tables.ops.copy()
        if fed:
            # A place of its own for the prediction, so that what is fed back stays as it was put in.
            ops[-1, OUT] = layout.size
        self.made = int(ops[-1, OUT])
        self.loop = loop.loop(layout, ops)
        # A layer driven by its bias alone gets the same in every block.
        self.driven = [v for v in layout.drives if layout.driven(v)]
        self._drive([v for v in layout.drives if not layout.driven(v)], {DRY: self.memory})

    def run(self, signals: dict[int, Tensor], pasts: Pasts, fed: Tensor | None) -> tuple[Tensor, Pasts]:
        """Wet (samples,) and the pasts for the next block, given values from before the loop and this one's pasts."""
        layout, memory, samples = self.layout, self.memory, self.layout.samples
        for value in layout.tapped:
            _put(memory, layout.signals[value].start, pasts[value])
        for value in layout.outside:
            signal = layout.signals[value]
            _put(memory, signal.start, signals[value][..., -samples - signal.past :])
        self._drive(self.driven, signals)
        if fed is not None:
            last = layout.signals[layout.plan.last]
            memory[last.row(0) : last.end] = fed
        self.loop(memory.numpy(), samples)
        return memory[self.made : self.made + samples].clone(), {v: self._tail(v) for v in layout.tapped}

    def _drive(self, layers: list[int], signals: dict[int, Tensor]) -> None:
        """Put the sums that some layers get from outside the loop into memory."""
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
    # Transposed on this side: else PyTorch may take its path for large matrices, which is slow for a few columns.
    memory[start : start + x.numel()].view(x.shape[-1], x.shape[1]).T.copy_(x[0])
