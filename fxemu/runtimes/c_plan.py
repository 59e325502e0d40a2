"""A plan as C: every step a few lines over rows of floats, one row a sample, where `engine/layout.py` puts them.

In what is written, `s` is the struct, `t` the first sample of the block to compute and `n` their number.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from fxemu.engine.layout import Layout
from fxemu.engine.partition import Partition
from fxemu.engine.plan import IDENTITY, Activation, Layer, Lookup, Mix, Part, Product, Step, Term
from fxemu.engine.simplify import on_cpu
from fxemu.engine.steady_state import steady_state
from fxemu.runtimes.base import Model

# Samples computed at once; pasts are moved back to the start of their rows every so many.
BLOCK = 128


class PlanInC:
    """The parts of a C file that follow from a model's plan; `tables` grows as they are asked for."""

    def __init__(self, model: Model) -> None:
        self.name, self.plan = model.identifier, on_cpu(model.playable.plan())
        self.partition = Partition(self.plan)
        self.layout = Layout(self.partition, BLOCK, early=True)
        self.quiet = steady_state(model.playable, self.plan, model.default_positions)
        if self.plan.knobs is not None:
            # The rest follows from where the knobs stand at the first sample.
            self.quiet = {value: row for value, row in self.quiet.items() if value in self.partition.early}
        self.tables: list[str] = []
        self.names: dict[bytes, str] = {}
        values, drives = self.layout.signals.items(), self.layout.drives.items()
        # An array a signal, not one for all: so a compiler knows that they do not overlap.
        self.arrays = {f"v{value}": signal for value, signal in values}
        self.arrays |= {f"d{value}": signal for value, signal in drives if self.layout.driven(value)}

    def members(self) -> list[str]:
        """The arrays that the struct holds."""
        return [f"float {name}[{signal.rows * signal.width}];" for name, signal in self.arrays.items()]

    def start(self) -> list[str]:
        """Lines that put what is not zero in silence into the past."""
        past = self.plan.histories()
        return [
            f"fill(s->v{value}, {self._table(f'quiet_{value}', row)}, {row.numel()}, {past[value]});"
            for value, row in self.quiet.items()
            if row.any()
        ]

    def slide(self) -> list[str]:
        """Lines that move every past to the start of its rows; if one is not finite, everything starts again."""
        pasts = {name: signal for name, signal in self.arrays.items() if signal.past}
        moves = [
            f"memmove(s->{name}, s->{name} + {BLOCK * signal.stride}, {signal.past * signal.width} * sizeof(float));"
            for name, signal in pasts.items()
        ]
        # Once a block, and what the next one reads: the steps themselves check nothing.
        checks = [f"all_finite(s->{name}, {signal.past * signal.width})" for name, signal in pasts.items()]
        restart = f"{self.name}_init" if self.plan.knobs is None else "restart"
        return [*moves, f"if (!({' && '.join(checks)})) {restart}(s);"] if checks else []

    def block(self) -> list[str]:
        """Lines for the steps that are computed for n samples at once."""
        early = [value for value in self.layout.outside if value not in self.plan.given]
        turn = [] if self.plan.knobs is None else [f"turn(s, {self.row(self.plan.knobs)}, n);"]
        driven = [value for value in self.layout.drives if self.layout.driven(value)]
        return [*turn, *(line for value in early for line in self._step(value, "n"))] + [
            line for value in driven for line in self._drive(value)
        ]

    def sample(self) -> list[str]:
        """Lines for the other steps, for the sample t."""
        return [line for value in self.partition.looping for line in self._step(value, "1")]

    def row(self, value: int, back: int = 0) -> str:
        """The row of sample t, or of the one `back` before."""
        return self._place(*self.layout.address(value, back))

    def _place(self, first: int, stride: int) -> str:
        """An address of the layout, `stride` further on with every sample."""
        name, signal = next(item for item in self.arrays.items() if item[1].start <= first < item[1].end)
        return f"s->{name} + {first - signal.start}" + (f" + t * {stride}" if stride else "")

    def _step(self, value: int, n: str) -> list[str]:
        step = self.plan.step(value)
        make = {Layer: self._layer, Mix: self._mix, Lookup: self._lookup, Part: self._part}[type(step)]
        lines = [f"float *z = {self.row(value)};", *make(value, step, n), *_activate(step, n)]
        return [f"{{ /* {value}: {_words(step)} */", *(f"  {line}" for line in lines), "}"]

    def _layer(self, value: int, layer: Layer, n: str) -> list[str]:
        if value not in self.layout.drives or not self.layout.driven(value):
            # Constants, not a copy of them: a compiler makes more of these.
            return [self._bias(value, layer, n), *self._terms(value, layer.terms, layer.units, n)]
        drive = self.layout.drives[value]
        start = f"memcpy(z, {self._place(drive.row(0), drive.stride)}, {layer.units} * sizeof(float));"
        return [start, *self._terms(value, self.partition.looping_terms(value), layer.units, n)]

    def _drive(self, value: int) -> list[str]:
        """The part of a looping layer that is computed before the loop, bias included."""
        layer, drive = self.plan.step(value), self.layout.drives[value]
        start = [f"float *z = {self._place(drive.row(0), drive.stride)};", self._bias(value, layer, "n")]
        lines = start + self._terms(value, self.partition.driving_terms(value), layer.units, "n", "d")
        return [f"{{ /* into {value} */", *(f"  {line}" for line in lines), "}"]

    def _bias(self, value: int, layer: Layer, n: str) -> str:
        if layer.bias is None:
            return f"memset(z, 0, (size_t){n} * {layer.units} * sizeof(float));"
        return f"fill(z, {self._table(f'b{value}', layer.bias)}, {layer.units}, {n});"

    def _terms(self, value: int, terms: Sequence[Term], units: int, n: str, of: str = "w") -> list[str]:
        """A call for each stretch of the terms (see `Layout.stretches`)."""
        stretches = []
        for i, term in enumerate(terms):
            weights = self._table(f"{of}{value}_{i}", term.weight.permute(2, 1, 0))
            stretches += [(weights, *stretch) for stretch in self.layout.stretches(term)]
        # The long ones first: a single sample that is fed back has been made just now, and comes late.
        stretches.sort(key=lambda stretch: -stretch[3])
        lines = []
        for weights, place, stride, count, *_, first in stretches:
            x, w = self._place(place, stride), f"{weights} + {first}" if first else weights
            if n == "n":
                lines.append(f"add_rows(z, {x}, {stride}, {w}, {units}, {count}, n);")
            elif units == 1:
                lines.append(f"add_dot(z, {x}, {w}, {count});")
            else:
                lines.append(f"add(z, {x}, {w}, {units}, {count});")
        return lines

    def _mix(self, value: int, mix: Mix, n: str) -> list[str]:
        factors = sorted({factor for product in mix.products for factor in product.factors})
        rows = [f"const float *x{factor} = {self.row(factor)};" for factor in factors]
        total = " + ".join(self._product(f"s{value}_{i}", product, mix.units) for i, product in enumerate(mix.products))
        return [*rows, "int i;", f"for (i = 0; i < {n} * {mix.units}; i++) z[i] = {total};"]

    def _product(self, name: str, product: Product, units: int) -> str:
        factors = [f"x{factor}[i]" for factor in product.factors]
        if isinstance(product.scale, Tensor):
            factors.insert(0, f"{self._table(name, product.scale)}[i % {units}]")
        elif product.scale != 1:
            factors.insert(0, number(product.scale))
        return " * ".join(factors)

    def _lookup(self, value: int, lookup: Lookup, n: str) -> list[str]:
        rows, units = lookup.table.shape
        table = self._table(f"w{value}", lookup.table)
        return [f"look_up(z, {self.row(lookup.source)}, {table}, {units}, {rows}, {int(lookup.nearest)}, {n});"]

    def _part(self, value: int, part: Part, n: str) -> list[str]:
        wide = self.plan.width(part.source)
        copy = f"memcpy(z + i * {part.units}, x + i * {wide} + {part.first}, {part.units} * sizeof(float));"
        return [f"const float *x = {self.row(part.source)};", "int i;", f"for (i = 0; i < {n}; i++) {copy}"]

    def _table(self, name: str, values: Tensor) -> str:
        """Add a table of constants, if there is none of the same numbers, and return its name."""
        content = values.detach().contiguous().numpy().tobytes()
        if content not in self.names:
            self.names[content] = name
            self.tables.append(table(name, values))
        return self.names[content]


def _activate(step: Step, n: str) -> list[str]:
    activation: Activation = IDENTITY if isinstance(step, Part) else step.activation
    if activation == IDENTITY:
        return []
    return [f"to_{activation.kind}(z, {step.units}, {n}, {number(activation.parameter)});"]


def _words(step: Step) -> str:
    kind = type(step).__name__.lower()
    active = "" if isinstance(step, Part) or step.activation == IDENTITY else f", {step.activation.kind}"
    return f"{kind} of {step.units}{active}"


def table(name: str, values: Tensor) -> str:
    """A constant array of floats, laid out as `values` is, each with the digits that give it back exactly."""
    numbers = [number(x) for x in values.reshape(-1).tolist()]
    lines = [", ".join(numbers[i : i + 8]) for i in range(0, len(numbers), 8)]
    return f"static const float {name}[{len(numbers)}] = {{\n  " + ",\n  ".join(lines) + "\n};"


def number(x: float) -> str:
    """A float constant of C."""
    digits = f"{x:.9g}"
    return digits + ("f" if "." in digits or "e" in digits else ".0f")
