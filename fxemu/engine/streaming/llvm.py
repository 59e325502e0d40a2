"""Arithmetic on vectors of float32 as LLVM instructions, written as Python operators.

A `Number` is one float, or several side by side, in a function in the making: a `Code`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llvmlite import ir

FLOAT, INDEX, POINTER = ir.FloatType(), ir.IntType(64), ir.PointerType()
# Products that are not rounded before they are added; NaN and infinity stay what they are. Sums keep the order in which
# they are written: LLVM's own may be one long chain, in which each addition waits for the one before.
FAST = ("contract", "arcp", "nsz")


@dataclass(frozen=True)
class Number:
    """One float, or a vector of them, in a function; operators append instructions and broadcast plain floats."""

    builder: ir.IRBuilder
    value: ir.Value

    @property
    def size(self) -> int:
        return getattr(self.value.type, "count", 1)

    def broadcast(self, size: int) -> Number:
        """A scalar as a vector of `size` equal numbers."""
        if size == 1:
            return self
        vector = self.builder.insert_element(_vector(size)(ir.Undefined), self.value, ir.IntType(32)(0))
        first = ir.Constant(ir.VectorType(ir.IntType(32), size), None)
        return Number(self.builder, self.builder.shuffle_vector(vector, vector, first))

    def like(self, x: Number | float) -> ir.Value:
        """x broadcast to the size of this."""
        if isinstance(x, Number):
            return x.value if x.size == self.size else x.broadcast(self.size).value
        return ir.Constant(self.value.type, x if self.size == 1 else [FLOAT(x)] * self.size)

    def __add__(self, x: Number | float) -> Number:
        return Number(self.builder, self.builder.fadd(self.value, self.like(x), flags=FAST))

    def __sub__(self, x: Number) -> Number:
        return Number(self.builder, self.builder.fsub(self.value, x.value, flags=FAST))

    def __mul__(self, x: Number | float) -> Number:
        return Number(self.builder, self.builder.fmul(self.value, self.like(x), flags=FAST))

    def __truediv__(self, x: Number) -> Number:
        return Number(self.builder, self.builder.fdiv(self.value, x.value, flags=FAST))

    def at_least(self, x: Number | float) -> Number:
        return self._kept_where(">", self.like(x))

    def at_most(self, x: Number | float) -> Number:
        return self._kept_where("<", self.like(x))

    def _kept_where(self, comparison: str, other: ir.Value) -> Number:
        # Unordered: what is not a number stays so.
        kept = self.builder.fcmp_unordered(comparison, self.value, other)
        return Number(self.builder, self.builder.select(kept, self.value, other))

    def sum(self) -> Number:
        """The sum over the vector: a scalar."""
        if self.size == 1:
            return self
        kind = ir.FunctionType(FLOAT, [FLOAT, self.value.type])
        add = _function(self.builder.module, f"llvm.vector.reduce.fadd.v{self.size}f32", kind)
        return Number(self.builder, self.builder.call(add, [FLOAT(-0.0), self.value], fastmath=(*FAST, "reassoc")))


class Code:
    """Builder of a function `run` of a number of samples, a phase, and pointers to tables that do not overlap."""

    def __init__(self, tables: int) -> None:
        self.module = ir.Module()
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [INDEX, INDEX, *[POINTER] * tables]), "run")
        self.samples, self.phase, *self.tables = function.args
        for table in self.tables:
            table.add_attribute("noalias")
        self._builder = ir.IRBuilder(function.append_basic_block())

    def at(self, pointer: ir.Value, index: ir.Value | int, stride: int = 1) -> ir.Value:
        """A pointer to the float `index` * `stride` floats after `pointer`."""
        place = INDEX(index * stride) if isinstance(index, int) else self._builder.mul(index, INDEX(stride))
        return self._builder.gep(pointer, [place], source_etype=FLOAT)

    def load(self, pointer: ir.Value, size: int = 1) -> Number:
        return Number(self._builder, self._builder.load(pointer, typ=_vector(size), align=4))

    def zero(self, size: int) -> Number:
        """A vector of zeros."""
        return Number(self._builder, ir.Constant(_vector(size), None))

    def point(self, index: ir.Value, period: int) -> tuple[ir.Value, Number]:
        """How many periods (a power of two) there are up to an index, and the share of the next that is over."""
        share = self._builder.sitofp(self._builder.and_(index, INDEX(period - 1)), FLOAT)
        return self._builder.udiv(index, INDEX(period)), Number(self._builder, share) * (1 / period)

    def later(self, index: ir.Value, samples: ir.Value) -> ir.Value:
        """The index so many samples later."""
        return self._builder.add(index, samples)

    def load_index(self, pointer: ir.Value, place: int) -> ir.Value:
        """The address in a table of addresses."""
        return self._builder.load(self._builder.gep(pointer, [INDEX(place)], source_etype=INDEX), typ=INDEX)

    def store(self, x: Number, pointer: ir.Value) -> None:
        self._builder.store(x.value, pointer, align=4)

    def for_loop(
        self, count: ir.Value | int, body: Callable[..., list[Number]], numbers: Sequence[Number] = ()
    ) -> list[Number]:
        """A for-loop carrying `numbers`: `body` (index, *numbers) returns the next ones, `count` (at least 1) times."""
        build, before = self._builder, self._builder.block
        start = build.append_basic_block()
        build.branch(start)
        build.position_at_end(start)
        phis = [build.phi(kind) for kind in (INDEX, *(x.value.type for x in numbers))]
        made = body(phis[0], *(Number(build, phi) for phi in phis[1:]))
        following = build.add(phis[0], INDEX(1))
        end, after = build.block, build.append_basic_block()
        build.cbranch(build.icmp_unsigned("<", following, _index(count)), start, after)
        firsts, laters = [INDEX(0), *(x.value for x in numbers)], [following, *(x.value for x in made)]
        for phi, first, later in zip(phis, firsts, laters, strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(later, end)
        build.position_at_end(after)
        return made

    def call(self, name: str, *arguments: Number | ir.Value | int) -> None:
        """Call a function of this process, registered with LLVM by name, that returns nothing."""
        values = [x.value if isinstance(x, Number) else _index(x) for x in arguments]
        kind = ir.FunctionType(ir.VoidType(), [x.type for x in values])
        self._builder.call(_function(self.module, name, kind), values)

    def end(self) -> str:
        """The finished text."""
        self._builder.ret_void()
        return str(self.module)


def _index(x: ir.Value | int) -> ir.Value:
    return INDEX(x) if isinstance(x, int) else x


def _vector(size: int) -> ir.Type:
    return FLOAT if size == 1 else ir.VectorType(FLOAT, size)


def _function(module: ir.Module, name: str, kind: ir.FunctionType) -> ir.Function:
    """A function that is defined elsewhere, declared once."""
    return module.globals.get(name) or ir.Function(module, kind, name)
