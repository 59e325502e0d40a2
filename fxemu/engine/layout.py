"""Memory layout of the looping values and weights of a plan, and the tables that the compiled loops read.

Shapes: G groups of `lanes` streams, K samples of the block, W width of a value, U units, N taps, C rows of a table.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fxemu.engine.control import control_plan
from fxemu.engine.opcodes import (
    A_STRIDE,
    B_STRIDE,
    COUNT,
    DRIVE_STRIDE,
    FIRST_ITEM,
    KIND,
    KINDS,
    LAST_ITEM,
    LAYER,
    LOOKUP,
    MIX,
    OP,
    OUT_STRIDE,
    UNITS,
    WEIGHT,
)
from fxemu.engine.partition import Partition
from fxemu.engine.plan import FIRST, IDENTITY, PERIOD, Layer, Lookup, Mix, Product, Term

# Numbers in a line of the processor's cache.
LINE = 16


@dataclass(frozen=True)
class Signal:
    """A value's rows, one a sample, `width` numbers each: `past` of them, then the block's.

    `stride` is 0 for a value that is overwritten at every sample, since nothing looks back to it.
    """

    start: int
    width: int
    past: int
    stride: int
    rows: int

    @property
    def end(self) -> int:
        return self.start + self.rows * self.width

    def row(self, t: int) -> int:
        """The address of the row of sample t of the block."""
        return self.start + self.past * self.stride + t * self.stride


@dataclass(frozen=True)
class Tables:
    """Input of the compiled loops: weights, the addresses that each step reads and writes, activation parameters."""

    weights: NDArray[np.float32]
    ops: NDArray[np.uint64]
    items: NDArray[np.uint64]
    parameters: NDArray[np.float32]


class Layout:
    """Addresses and tables for a block of `samples` of `lanes` streams.

    Args:
        partition: of a plan whose last value is the wet sample, which WET remembers.
        samples: in the block.
        lanes: streams side by side.
        keep: True if every value of the block is wanted afterwards, as for a backward pass; the part of a layer that
            is computed before the loop then lies in its own rows. False gives it separate rows.
        early: True if the values from before the loop, and their pasts, are kept here too, for code that computes them.
        points: True if the control values that the loop reads are kept at points alone (`control.py`), with a layout of
            their own for code that computes them; False for a row of them a sample.
    """

    def __init__(
        self,
        partition: Partition,
        samples: int,
        lanes: int = 1,
        keep: bool = False,
        early: bool = False,
        points: bool = False,
    ) -> None:
        self.partition, self.samples, self.lanes, self.keep = partition, samples, lanes, keep
        self.plan, self.looping, self.tapped = partition.plan, partition.looping, partition.tapped
        plan = self.plan
        self.size = 0
        past = plan.histories()
        stay = {v for v in self.looping if keep or past[v] or v == plan.last}
        self.signals = {v: self._reserve(plan.width(v), past[v], v in stay) for v in self.looping}
        # Values from before the loop that it reads at every sample; with their past, if everything is in the loop.
        read = {source for v in self.looping for source in self._read(v)}
        outside = sorted(partition.early if early else read & partition.early)
        pointed = partition.control if points else set()
        self.outside = [value for value in outside if value not in pointed]
        behind = past if partition.sequential or early else dict.fromkeys(outside, 0)
        # Of control values that are not read at every sample from before the loop, one row: that of the latest point.
        at_once = {source for v in partition.early - partition.control if v >= FIRST for source in plan.step(v).spans()}
        read_as_control = at_once if early else plan.control_outputs
        rows = {v: v not in partition.control or v in read_as_control for v in outside}
        self.signals |= {value: self._reserve(plan.width(value), behind[value], rows[value]) for value in self.outside}
        self.control, self.control_start = None, self.size
        self.pointed = [value for value in outside if value in pointed]
        if self.pointed:
            own, number = control_plan(plan)
            self.control = Layout(Partition(own, sequential=True), 2 + -(-samples // PERIOD), keep=True)
            self.size += self.control.size
            for value in self.pointed:
                signal = self.control.signals[number[value]]
                self.signals[value] = replace(signal, start=self.control_start + signal.start)
        self.drives = {v: self._drive(v) for v in self.looping if isinstance(plan.step(v), Layer)}

    def _reserve(self, units: int, past: int, stays: bool) -> Signal:
        width, rows = units * self.lanes, past + self.samples if stays else 1
        return self._placed(Signal(self.size, width, past, width if stays else 0, rows))

    def _placed(self, signal: Signal) -> Signal:
        """A signal at the end of the memory so far; the next begins at a line of the cache, lest vectors cross one."""
        self.size = -(-signal.end // LINE) * LINE
        return signal

    def _drive(self, value: int) -> Signal:
        """Rows for the precomputed part of a layer: one for all samples if that is its bias alone, else one each."""
        if not self.driven(value):
            return self._placed(Signal(self.size, self.plan.width(value) * self.lanes, 0, 0, 1))
        return self.signals[value] if self.keep else self._reserve(self.plan.width(value), 0, True)

    def _read(self, value: int) -> list[int]:
        """The values that a step reads inside the loop, each as often as it does."""
        step = self.plan.step(value)
        if isinstance(step, Layer):
            return [term.source for term in self.partition.looping_terms(value)]
        return [f for p in step.products for f in p.factors] if isinstance(step, Mix) else list(step.spans())

    def driven(self, value: int) -> bool:
        """Whether a layer has terms that are computed before the loop."""
        return bool(self.partition.driving_terms(value))

    @cached_property
    def tables(self) -> Tables:
        """Tables of the compiled loops, made on first use: a GPU needs none, and copying its weights takes time."""
        weights, offsets = _flat(self.partition)
        ops, items, parameters = [], [], []
        for value in self.looping:
            step, signal, first = self.plan.step(value), self.signals[value], len(items)
            drive = self.drives.get(value, signal)
            rows_at = signal.row(0), signal.stride, step.units, drive.row(0), drive.stride
            items += self._items(value, offsets)
            op = {Layer: LAYER, Mix: MIX, Lookup: LOOKUP}[type(step)]
            ops.append((op, *rows_at, KINDS.index(step.activation.kind), first, len(items)))
            parameters.append(step.activation.parameter)
        rows = (np.array(table, np.uint64).reshape(-1, width) for table, width in ((ops, 9), (items, 6)))
        return Tables(weights, *rows, np.array(parameters, np.float32))

    def _items(self, value: int, offsets: dict[int, int]) -> list[tuple[int, ...]]:
        step = self.plan.step(value)
        if isinstance(step, Layer):
            return [
                item for term in self.partition.looping_terms(value) for item in self.stretches(term, offsets[id(term)])
            ]
        if isinstance(step, Mix):
            return [self._product(product, offsets) for product in step.products]
        row, stride = self.address(step.source)
        return [(row, stride, step.table.shape[0], int(step.nearest), 0, offsets[id(step)])]

    @cached_property
    def copies(self) -> tuple[range, ...]:
        """The looping steps (rows of the tables) in groups of copies: with the same weights, none reading another."""
        groups: list[range] = []
        for row, value in enumerate(self.looping):
            first = groups[-1].start if groups else row
            reads = {self.plan.whole(source) for source in self._read(value)}
            if row > first and self._alike(first, row) and not reads.intersection(self.looping[first:row]):
                groups[-1] = range(first, row + 1)
            else:
                groups.append(range(row, row + 1))
        return tuple(groups)

    def inlined(self) -> frozenset[int]:
        """The steps (rows of the tables) whose value is read by the next one alone, a mix that begins with it."""
        past, steps = self.plan.histories(), [self.plan.step(value) for value in self.looping]
        readers = Counter(self.plan.whole(source) for value in self.looping for source in self._read(value))
        alone = {group.start for group in self.copies if len(group) == 1}
        return frozenset(
            row
            for row, (value, layer, mix) in enumerate(zip(self.looping, steps, steps[1:], strict=False))
            if isinstance(layer, Layer) and isinstance(mix, Mix) and layer.activation == IDENTITY
            if mix.products[0].factors[0] == value and readers[value] == 1 and not past[value]
            if alone.issuperset({row, row + 1})
        )

    def _alike(self, row: int, other: int) -> bool:
        """Whether two steps differ in nothing but the values that they read and write."""
        ops, items, parameters = self.tables.ops, self.tables.items, self.tables.parameters
        kinds = [ops[i, [OP, OUT_STRIDE, UNITS, DRIVE_STRIDE, KIND]] for i in (row, other)]
        read = [items[ops[i, FIRST_ITEM] : ops[i, LAST_ITEM]] for i in (row, other)]
        weights = [part[:, [A_STRIDE, COUNT, B_STRIDE, WEIGHT]] for part in read]
        return np.array_equal(*kinds) and np.array_equal(*weights) and parameters[row] == parameters[other]

    def present(self, value: int) -> tuple[Signal, int, int]:
        """The signal that holds a value, which of its rows is the present one, and which of its units the first.

        A state's present row is the one before.
        """
        if value in self.plan.sources:
            return self.signals[self.plan.sources[value]], -1, 0
        if value not in self.signals:
            part = self.plan.step(value)
            signal, now, first = self.present(part.source)
            return signal, now, first + part.first
        return self.signals[value], 0, 0

    def rows(self, memory: Tensor, signal: Signal) -> Tensor:
        """All rows of a signal in memory (G, size), a view: (G, rows, W, lanes)."""
        return memory[:, signal.start : signal.end].view(memory.shape[0], signal.rows, -1, self.lanes)

    def now(self, memory: Tensor, value: int) -> Tensor:
        """The rows of a value in the block, without its past: (G, K, W, lanes)."""
        signal = self.signals[value]
        return self.rows(memory, signal)[:, signal.past :]

    def delayed(self, memory: Tensor, value: int, back: int = 0) -> Tensor:
        """View of a kept value over the block, delayed by `back` samples: (G, K, W, lanes)."""
        signal, now, unit = self.present(value)
        first = signal.past + now - back
        return self.rows(memory, signal)[:, first : first + self.samples, unit : unit + self.plan.width(value)]

    def windows(self, memory: Tensor, term: Term) -> list[Tensor]:
        """Views of a term's windows over the block: (G, K, N W, lanes), or one (G, K, W, lanes) a tap if dilated."""
        _, width, taps = term.weight.shape
        if term.dilation > 1:
            return [self.delayed(memory, term.source, term.span - tap * term.dilation) for tap in range(taps)]
        oldest = self.delayed(memory, term.source, term.span)
        # Rows of a whole value (a part is read at one sample alone) lie end to end, so a window is one stretch of them.
        size = (*oldest.shape[:2], taps * width, self.lanes)
        return [oldest.as_strided(size, oldest.stride(), oldest.storage_offset())]

    def address(self, value: int, back: int = 0) -> tuple[int, int]:
        """The address of a value at the block's first sample, `back` samples ago, and the stride of its rows."""
        signal, now, first = self.present(value)
        return signal.row(now - back) + first * self.lanes, signal.stride

    def stretches(self, term: Term, weight: int = 0) -> list[tuple[int, ...]]:
        """Items of a term, contiguous stretches of its source: one, or one a tap where it is dilated.

        A filter over what was made one sample ago, and before, is two: a vector cannot be loaded in which a number was
        stored just now, but the sum of the others need not wait for it. `weight` is where its weights begin.
        """
        units, width, taps = term.weight.shape
        if term.dilation == 1 and units * width == 1 and taps > 1 and term.source in self.plan.sources:
            older, newest = self.address(term.source, term.span), self.address(term.source)
            return [(*older, taps - 1, 0, 0, weight), (*newest, 1, 0, 0, weight + taps - 1)]
        if term.dilation == 1:
            return [(*self.address(term.source, term.span), taps * width, 0, 0, weight)]
        addresses = [self.address(term.source, term.span - tap * term.dilation) for tap in range(taps)]
        return [(*address, width, 0, 0, weight + tap * width * units) for tap, address in enumerate(addresses)]

    def _product(self, product: Product, offsets: dict[int, int]) -> tuple[int, ...]:
        a, b = (self.address(product.factors[i]) for i in (0, -1))
        return *a, len(product.factors), *b, offsets[id(product)]


def _flat(partition: Partition) -> tuple[NDArray[np.float32], dict[int, int]]:
    """All weights inside the loop in one array, laid out (tap, input, unit), and where each one's begin.

    The same numbers are there once: copies of a step then share the cache, too.
    """
    parts: dict[bytes, int] = {}
    offsets, end = {}, 0
    for owner, tensor in weights_of(partition, partition.looping):
        part = tensor.detach().cpu().float()
        content = (part.permute(2, 1, 0) if part.ndim == 3 else part).contiguous().numpy().tobytes()
        if content not in parts:
            parts[content], end = end, end + part.numel()
        offsets[id(owner)] = parts[content]
    return np.frombuffer(bytearray(b"".join(parts)), np.float32), offsets


def weights_of(partition: Partition, values: list[int]) -> list[tuple[Term | Product | Lookup, Tensor]]:
    """Terms, products and lookups in the loop of the given values, each with its weights: (U, W, N), (U,) or (C, U)."""
    weights: list[tuple[Term | Product | Lookup, Tensor]] = []
    for value in values:
        step = partition.plan.step(value)
        if isinstance(step, Layer):
            weights += [(term, term.weight) for term in partition.looping_terms(value)]
        elif isinstance(step, Mix):
            weights += [(p, torch.as_tensor(p.scale, dtype=torch.float32).expand(step.units)) for p in step.products]
        else:
            weights.append((step, step.table))
    return weights
