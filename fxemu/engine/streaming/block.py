"""Blocks of one stream: their memory, layout and compiled loop."""

from __future__ import annotations

import torch
from torch import Tensor

from fxemu.engine.feedforward import drive
from fxemu.engine.layout import Layout
from fxemu.engine.opcodes import OUT
from fxemu.engine.partition import Partition
from fxemu.engine.plan import DRY
from fxemu.engine.streaming.loop import compile_loop

# Past samples (1, W, rows) of the values that look back.
PastValues = dict[int, Tensor]


class BlockRunner:
    """Blocks of any size of one stream, under one partition of the plan, in memory for the longest so far."""

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self._blocks: dict[bool, Block] = {}

    def block(self, samples: int, fed: bool) -> Block:
        """The block in which so many samples fit; `fed` as for `Block`."""
        if fed not in self._blocks or self._blocks[fed].layout.samples < samples:
            self._blocks[fed] = Block(self.partition, samples, fed)
        return self._blocks[fed]


class Block:
    """A block of one stream: its layout, its memory and its loop.

    Args:
        partition: of the plan that is played.
        samples: in it, at most.
        fed: whether given samples are fed back instead of the prediction.
    """

    def __init__(self, partition: Partition, samples: int, fed: bool) -> None:
        self.layout = layout = Layout(partition, samples, points=True)
        self.memory, ops = torch.empty(layout.size + samples * fed), layout.tables.ops.copy()
        if fed:
            # The prediction is written elsewhere, which leaves the given feedback unmodified.
            ops[-1, OUT] = layout.size
        self.output_start = int(ops[-1, OUT])
        self.loop = compile_loop(layout, ops)
        self.control = layout.control and ControlBlock(layout.control, self.memory[layout.control_start :])
        # Where the precomputed part is a bias alone, it is the same in every block.
        self.driven = [v for v in layout.drives if layout.driven(v)]
        self._drive([v for v in layout.drives if not layout.driven(v)], {DRY: self.memory}, 1)

    def run(
        self, samples: int, signals: dict[int, Tensor], past: PastValues, fed: Tensor | None, points: Tensor, phase: int
    ) -> tuple[Tensor, PastValues]:
        """Wet (samples,) and the past of the next block, given the precomputed values and this block's past.

        For a plan with knobs, `points` and `phase` are those of `ControlTrack.around`.
        """
        layout, memory = self.layout, self.memory
        for value in layout.tapped:
            _put(memory, layout.signals[value].start, past[value])
        for value in layout.outside:
            signal = layout.signals[value]
            _put(memory, signal.start, signals[value][..., -samples - signal.past :])
        self._drive(self.driven, signals, samples)
        if self.control is not None:
            self.control.run(points)
        if fed is not None:
            last = layout.signals[layout.plan.last]
            memory[last.row(0) : last.row(samples)] = fed
        self.loop(memory.numpy(), samples, phase)
        return memory[self.output_start : self.output_start + samples].clone(), {
            v: self._tail(v, samples) for v in layout.tapped
        }

    def _drive(self, layers: list[int], signals: dict[int, Tensor], samples: int) -> None:
        """Write the precomputed parts of some layers to memory."""
        for value in layers:
            driven = drive(self.layout.partition, value, signals, samples)
            _put(self.memory, self.layout.drives[value].row(0), driven)

    def _tail(self, value: int, samples: int) -> Tensor:
        """The last of so many samples of a value, the past of the next block: (1, W, rows)."""
        signal = self.layout.signals[value]
        last = self.memory[signal.start + samples * signal.width : signal.row(samples)]
        return last.reshape(1, signal.past, signal.width).mT.clone()


class ControlBlock:
    """The control values at the points around a block of one stream.

    Args:
        layout: of the plan of control values.
        memory: at the start of which they lie.
    """

    def __init__(self, layout: Layout, memory: Tensor) -> None:
        self.memory, self.start = memory, layout.signals[DRY].start
        self.loop = compile_loop(layout, layout.tables.ops)
        for value in layout.drives:
            _put(memory, layout.drives[value].row(0), drive(layout.partition, value, {DRY: memory}, 1))

    def run(self, points: Tensor) -> None:
        """Compute them for positions (K, G) of the knobs."""
        _put(self.memory, self.start, points[None])
        self.loop(self.memory.numpy(), points.shape[1], 0)


def _put(memory: Tensor, start: int, x: Tensor) -> None:
    """Write x (1, W, T) as T rows of W."""
    # Transposed on this side: else PyTorch may take its path for large matrices, which is slow for a few columns.
    memory[start : start + x.numel()].view(x.shape[-1], x.shape[1]).T.copy_(x[0])
