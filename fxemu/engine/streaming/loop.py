"""One stream's loop as machine code: the sequential steps of a plan, written out one after another for LLVM.

The loop in `numba_loops.py` reads in tables what to do next; for one stream that takes longer than doing it. Here all
sizes are known, numbers go in vectors, and sums stay in registers. Where things lie is still read from the tables of
`layout.py`, so that blocks of any size share their code. A piece is some units of a row: (first, how many).

Copies of a step, as an oversampled plan has them (`oversampling.py`), are computed side by side: each weight is loaded
once for all of them, and none waits for another.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import lru_cache, reduce
from operator import add, mul
from typing import NamedTuple

import numpy as np
from llvmlite import binding, ir
from numpy.typing import NDArray

from fxemu.engine.activations import RECORDS
from fxemu.engine.layout import Layout
from fxemu.engine.lockstep import numba_loops
from fxemu.engine.opcodes import (
    A_STRIDE,
    B_STRIDE,
    COUNT,
    DRIVE,
    DRIVE_STRIDE,
    FIRST_ITEM,
    KIND,
    KINDS,
    LAST_ITEM,
    LAYER,
    MIX,
    OP,
    OUT,
    OUT_STRIDE,
    UNITS,
    WEIGHT,
    A,
    B,
)
from fxemu.engine.plan import PERIOD
from fxemu.engine.streaming.llvm import INDEX, Code, Number

# Numbers in a vector: eight, or sixteen where the processor has AVX-512, unless it takes two turns for them (Zen 4).
WIDE = binding.get_host_cpu_features().get("avx512f") and binding.get_host_cpu_name() != "znver4"
VECTOR = 16 if WIDE else 8
# Vectors that are summed up side by side: most of the registers that common processors have.
SUMS = 12
# Up to this many products a sum of them is written out; a longer one is a loop over as many vectors as this.
UNROLLED, DOT_SUMS = 256, 8
# Inputs taken at once, each with sums of its own, so that no addition waits for the one before.
AT_ONCE = 4

Row = tuple[int, ...]
Piece = tuple[int, int]
Loop = Callable[[NDArray[np.float32], int, int], None]
# Of a product: whether it has weights other than 1, and which of its two factors are control values.
Marks = tuple[bool, bool, bool]
# A pointer to the numbers of a row, or two between which they lie.
Factor = tuple[ir.Value, ...]


class Steps(NamedTuple):
    """What a loop is compiled from: rows of the tables without addresses, and what `Layout` says of them."""

    ops: tuple[Row, ...]
    items: tuple[Row, ...]
    copies: tuple[range, ...]
    marks: tuple[Marks, ...]
    inlined: frozenset[int]


def compile_loop(layout: Layout, ops: NDArray[np.uint64]) -> Loop:
    """Compile steps of a layout (rows of its table) to a function that works in place.

    It is one of memory, samples, and how many samples ago control values were computed.
    """
    weights, items, parameters = layout.tables.weights, layout.tables.items, layout.tables.parameters
    pointed = {layout.signals[value].row(0) for value in layout.pointed}
    plain = {j for op in ops if op[OP] == MIX for j in _items(op) if _all_ones(weights, items[j, WEIGHT], op[UNITS])}
    marks = tuple((j not in plain, a in pointed, b in pointed) for j, (a, b) in enumerate(items[:, (A, B)].tolist()))
    static = _without(ops, (OUT, DRIVE)), _without(items, (A, B))
    run = _compiled(Steps(*static, layout.copies, marks, layout.inlined()))
    # Pointers that keep their tables alive.
    pointers = [table.ctypes.data_as(ctypes.c_void_p) for table in (weights, parameters, ops, items)]
    return lambda memory, samples, phase: run(samples, phase, memory.ctypes.data, *pointers)


def _items(op: Sequence[int]) -> range:
    """The rows of the items of a step."""
    return range(int(op[FIRST_ITEM]), int(op[LAST_ITEM]))


def _all_ones(weights: NDArray[np.float32], first: np.uint64, count: np.uint64) -> bool:
    return bool((weights[int(first) : int(first + count)] == 1).all())


def _without(table: NDArray[np.uint64], addresses: Sequence[int]) -> tuple[Row, ...]:
    """A table without the columns that differ from block to block."""
    table = table.copy()
    table[:, addresses] = 0
    return tuple(map(tuple, table.tolist()))


@lru_cache(maxsize=256)
def _compiled(steps: Steps) -> Callable[..., None]:
    """These steps for this processor: a function of samples, phase and pointers to the five tables."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    for name in OTHERS:
        binding.add_symbol(name, getattr(numba_loops, name).address)
    target = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(), features=binding.get_host_cpu_features().flatten(), opt=3
    )
    module = binding.parse_assembly(_Program(steps).text)
    passes = binding.create_pass_builder(target, binding.create_pipeline_tuning_options(speed_level=2))
    passes.getModulePassManager().run(module, passes)
    engine = binding.create_mcjit_compiler(module, target)
    engine.finalize_object()
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 2, *[ctypes.c_void_p] * 5)
    run = kind(engine.get_function_address("run"))
    run.engine = engine  # without it the code is gone
    return run


# Compiled by numba.
OTHERS = ("activate_row", "look_up_row")


class _Program:
    """The text of the function: a loop over samples, with one step after another in it."""

    def __init__(self, steps: Steps) -> None:
        self.ops, self.items, self.copies, self.marks, self.inlined = steps
        self.code = Code(tables=5)
        self.memory, self.weights, self.parameters, *self.addresses = self.code.tables
        self.code.for_loop(self.code.samples, self._sample)
        self.text = self.code.end()

    def _sample(self, t: ir.Value) -> list[Number]:
        self.t = t
        if any(a or b for _, a, b in self.marks):
            self.point, self.share = self.code.point(self.code.later(t, self.code.phase), PERIOD)
        for copies in self.copies:
            if copies[0] - 1 in self.inlined:
                continue
            op, units = self.ops[copies[0]], self.ops[copies[0]][UNITS]
            items = [_items(self.ops[i]) for i in copies]
            starts = [self._row(0, i, DRIVE, DRIVE_STRIDE) for i in copies] if op[OP] == LAYER else []
            self.mixed = []
            if copies[0] in self.inlined:
                copies = [copies[0] + 1]
                self.mixed = [self._factors(j) for j in _items(self.ops[copies[0]])]
            kind = self.ops[copies[0]][KIND]
            self.record = RECORDS[KINDS[kind]]
            self.parameter = self.code.load(self.code.at(self.parameters, copies[0]))
            rows = [self._row(0, i, OUT, OUT_STRIDE) for i in copies]
            if op[OP] == LAYER:
                self._layer(rows, units, starts, items)
            elif op[OP] == MIX:
                self._mix(rows, units, items)
            else:
                self._look_up(rows, units, items)
            if self.record.llvm is None:
                for z in rows:
                    self.code.call("activate_row", z, units, kind, self.parameter)
        return []

    def _row(self, table: int, i: int, start: int, stride: int) -> ir.Value:
        """A pointer to the numbers that row i of a table names, at the present sample."""
        row = (self.ops, self.items)[table][i]
        first = self.code.load_index(self.addresses[table], i * len(row) + start)
        return self.code.at(self.code.at(self.memory, first), self.t, row[stride])

    def _put(self, z: ir.Value, first: int, x: Number) -> None:
        """Units of a step's row, activated; of an inlined layer first mixed as the step after it says."""
        if self.mixed:
            (scale, _, *own), *others = self.mixed
            x = reduce(mul, [self._factor(factor, first, x.size) for factor in (scale, *own) if factor], x)
            x = reduce(add, [self._product(factors, first, x.size) for factors in others], x)
        if self.record.llvm is not None:
            x = self.record.llvm(x, self.parameter)
        self.code.store(x, self.code.at(z, first))

    def _layer(self, rows: list[ir.Value], units: int, starts: list[ir.Value], items: list[range]) -> None:
        """Each row z = the activation of its start + sum of x[i] * weights[i * units + u]."""
        sources = [
            (
                [self._row(1, j, A, A_STRIDE) for j in same],
                self.code.at(self.weights, self.items[same[0]][WEIGHT]),
                self.items[same[0]][COUNT],
            )
            for same in zip(*items, strict=True)
        ]
        # The long ones first: a single sample that is fed back has been made just now, and comes late.
        sources.sort(key=lambda source: -source[2])
        if units == 1:
            for copy, (z, start) in enumerate(zip(rows, starts, strict=True)):
                parts = [self._dot(xs[copy], weights, count) for xs, weights, count in sources]
                self._put(z, 0, reduce(add, parts, self.code.load(start)))
            return
        pieces, size = _pieces(units), max(1, SUMS // len(rows))
        for block in (pieces[i : i + size] for i in range(0, len(pieces), size)):
            sums = [self.code.load(self.code.at(start, first), size) for start in starts for first, size in block]
            together, longest = len(sums), max((count for *_, count in sources), default=1)
            sums += [self.code.zero(x.size) for x in sums * (min(AT_ONCE, max(1, SUMS // together), longest) - 1)]
            for source in sources:
                sums = self._products(sums, block, units, *source)
            places = [(z, first) for z in rows for first, _ in block]
            for i, place in enumerate(places):
                self._put(*place, reduce(add, sums[i::together]))

    def _products(
        self, sums: list[Number], block: list[Piece], units: int, xs: list[ir.Value], weights: ir.Value, count: int
    ) -> list[Number]:
        """sums + x[i] * weights[i * units + u] over i < count, for each copy's x, `AT_ONCE` inputs side by side."""
        at_once = len(sums) // (len(block) * len(xs))

        def add_inputs(index: ir.Value, *sums: Number, inputs: int = at_once) -> list[Number]:
            added = list(sums)
            values, rows = [self.code.at(x, index, at_once) for x in xs], self.code.at(weights, index, at_once * units)
            for n in range(inputs):
                loaded = [self.code.load(self.code.at(rows, n * units + first), size) for first, size in block]
                for copy, x in enumerate(values, start=n * len(xs)):
                    value = self.code.load(self.code.at(x, n))
                    broadcast = {size: value.broadcast(size) for _, size in block}
                    for i, weight in enumerate(loaded, start=copy * len(block)):
                        added[i] += weight * broadcast[weight.size]
            return added

        groups, left = divmod(count, at_once)
        sums = self.code.for_loop(groups, add_inputs, sums) if groups else sums
        return add_inputs(INDEX(groups), *sums, inputs=left)

    def _dot(self, x: ir.Value, weights: ir.Value, count: int) -> Number:
        """Sum of x[i] * weights[i] over i < count."""
        size = VECTOR * DOT_SUMS
        groups = count // size if count > UNROLLED else 0

        def add_group(index: ir.Value, *sums: Number) -> list[Number]:
            rows = (self.code.at(x, index, size),), (self.code.at(weights, index, size),)
            return [so_far + self._product(rows, VECTOR * i, VECTOR) for i, so_far in enumerate(sums)]

        zeros = [self.code.zero(VECTOR)] * DOT_SUMS
        products = {VECTOR: self.code.for_loop(groups, add_group, zeros) if groups else []}
        for first, width in _pieces(count - groups * size):
            products.setdefault(width, []).append(self._product(((x,), (weights,)), groups * size + first, width))
        return reduce(add, [_sum(same).sum() for same in products.values() if same])

    def _product(self, factors: Sequence[Factor], first: int, size: int) -> Number:
        """Some numbers of a row times those of another, side by side."""
        return reduce(mul, [self._factor(factor, first, size) for factor in factors if factor])

    def _factor(self, factor: Factor, first: int, size: int) -> Number:
        """Some numbers of a row, or what lies between those of two."""
        x, *later = (self.code.load(self.code.at(row, first), size) for row in factor)
        return x + (later[0] - x) * self.share if later else x

    def _mix(self, rows: list[ir.Value], units: int, items: list[range]) -> None:
        """Each row z = the activation of the sum of weights[u] * a[u] or of weights[u] * a[u] * b[u]."""
        factors = [[self._factors(j) for j in copy] for copy in items]
        for first, size in _pieces(units):
            for z, products in zip(rows, factors, strict=True):
                self._put(z, first, reduce(add, [self._product(product, first, size) for product in products]))

    def _factors(self, j: int) -> list[Factor]:
        """The weights of a product, nothing where all are 1, and its factors."""
        item, columns = self.items[j], ((A, A_STRIDE), (B, B_STRIDE))[: self.items[j][COUNT]]
        weighted, *pointed = self.marks[j]
        rows = [
            self._pointed(j, *column) if marked else (self._row(1, j, *column),)
            for column, marked in zip(columns, pointed, strict=False)
        ]
        return [(self.code.at(self.weights, item[WEIGHT]),) if weighted else (), *rows]

    def _pointed(self, j: int, start: int, stride: int) -> Factor:
        """Pointers to a control value at the last point and at the next one."""
        row, width = self.code.load_index(self.addresses[1], j * len(self.items[j]) + start), self.items[j][stride]
        here = self.code.at(self.code.at(self.memory, row), self.point, width)
        return here, self.code.at(here, width)

    def _look_up(self, rows: list[ir.Value], units: int, items: list[range]) -> None:
        for z, (j,) in zip(rows, items, strict=True):
            item = self.items[j]
            nearest = self.code.load_index(self.addresses[1], j * len(item) + B)
            table = self.code.at(self.weights, item[WEIGHT])
            self.code.call("look_up_row", z, units, self._row(1, j, A, A_STRIDE), item[COUNT], nearest, table)


def _pieces(units: int) -> list[Piece]:
    """A row cut into vectors, and into ever smaller ones for what is left."""
    pieces, size = [], VECTOR
    while size:
        first = pieces[-1][0] + pieces[-1][1] if pieces else 0
        pieces += [(first + i * size, size) for i in range((units - first) // size)]
        size //= 2
    return pieces


def _sum(numbers: list[Number]) -> Number:
    """Four sums side by side, so that no addition waits for the one before."""
    return reduce(add, [reduce(add, numbers[i::4]) for i in range(min(4, len(numbers)))])
