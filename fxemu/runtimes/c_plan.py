"""A plan as C: every step a few lines over rows of floats, one row a sample.

In what is written, `s` is the struct, `t` the row of the first sample to do and `n` their number.
"""

from __future__ import annotations

from torch import Tensor

from fxemu.engine.plan import DRY, FIRST, IDENTITY, Activation, Layer, Lookup, Mix, Part, Product, Step, Term
from fxemu.engine.schedule import Schedule
from fxemu.engine.settle import settled
from fxemu.engine.simplify import on_cpu
from fxemu.runtimes.base import Model

# Samples done at once; the rows of a value slide along and are moved back to the start every so many.
BLOCK = 128


class PlanInC:
    """The parts of a C file that follow from a model's plan; `tables` grows as they are asked for."""

    def __init__(self, model: Model) -> None:
        self.plan = on_cpu(model.loop.plan())
        self.schedule = Schedule(self.plan)
        self.early, self.looping = self.schedule.early, self.schedule.looping
        self.past = self.plan.histories()
        self.quiet = settled(model.loop, self.plan)
        self.tables: list[str] = []

    def members(self) -> list[str]:
        """What the struct remembers: the rows of each value, and what goes into each driven layer."""
        values = [f"float v{value}[{self._rows(value) * self.plan.width(value)}];" for value in self._stored()]
        return values + [f"float d{v}[{BLOCK * self.plan.width(v)}];" for v in self.looping if self._driven(v)]

    def start(self) -> list[str]:
        """Lines that put what is not zero in silence into the past."""
        return [
            f"fill(s->v{value}, {self._table(f'quiet_{value}', row)}, {row.numel()}, {self.past[value]});"
            for value, row in self.quiet.items()
            if row.any()
        ]

    def slide(self) -> list[str]:
        """Lines that move every past to the start of its rows."""
        return [
            f"memmove(s->v{value}, s->v{value} + {BLOCK * width}, {self.past[value] * width} * sizeof(float));"
            for value in self._stored()
            if self.past[value]
            for width in [self.plan.width(value)]
        ]

    def block(self) -> list[str]:
        """Lines for the steps that can be done for n samples at once."""
        first = [line for value in sorted(self.early - {DRY}) for line in self._step(value, "n")]
        return first + [line for value in self.looping if self._driven(value) for line in self._drive(value)]

    def sample(self) -> list[str]:
        """Lines for the other steps, for the sample t."""
        return [line for value in self.looping for line in self._step(value, "1")]

    def row(self, value: int, back: int = 0) -> str:
        """Where the row of sample t, or the one `back` before, begins; a state is what its source was before."""
        if value in self.plan.sources:
            value, back = self.plan.sources[value], back + 1
        step = self.plan.step(value) if value >= FIRST else None
        if isinstance(step, Part) and value not in self.early:
            return f"{self.row(step.source, back)} + {step.first}"
        if self._rows(value) == 1:
            return f"s->v{value}"
        return f"s->v{value} + (t + {self.past[value] - back}) * {self.plan.width(value)}"

    def _stored(self) -> list[int]:
        return sorted({*self.early, *self.looping})

    def _rows(self, value: int) -> int:
        """A value has its past and a block's rows, or one if it is needed only at once."""
        stays = value in self.early or self.past[value] or value == self.plan.last
        return self.past[value] + BLOCK if stays else 1

    def _driven(self, value: int) -> bool:
        """Whether a layer in the loop gets something from outside it."""
        inside = value in self.looping and isinstance(self.plan.step(value), Layer)
        return inside and bool(self.schedule.driving_terms(value))

    def _step(self, value: int, n: str) -> list[str]:
        step = self.plan.step(value)
        make = {Layer: self._layer, Mix: self._mix, Lookup: self._lookup, Part: self._part}[type(step)]
        lines = [f"float *z = {self.row(value)};", *make(value, step, n), *_activate(step, n)]
        return [f"{{ /* {value}: {_words(step)} */", *(f"  {line}" for line in lines), "}"]

    def _layer(self, value: int, layer: Layer, n: str) -> list[str]:
        if self._driven(value):
            start = [f"memcpy(z, s->d{value} + t * {layer.units}, {layer.units} * sizeof(float));"]
            return start + self._terms(value, self.schedule.looping_terms(value), layer.units, n)
        return [self._bias(value, layer, n), *self._terms(value, layer.terms, layer.units, n)]

    def _drive(self, value: int) -> list[str]:
        """What a looping layer gets from outside the loop, bias included."""
        layer: Layer = self.plan.step(value)
        start = [f"float *z = s->d{value} + t * {layer.units};", self._bias(value, layer, "n")]
        lines = start + self._terms(value, self.schedule.driving_terms(value), layer.units, "n", "d")
        return [f"{{ /* into {value} */", *(f"  {line}" for line in lines), "}"]

    def _bias(self, value: int, layer: Layer, n: str) -> str:
        if layer.bias is None:
            return f"memset(z, 0, (size_t){n} * {layer.units} * sizeof(float));"
        return f"fill(z, {self._table(f'b{value}', layer.bias)}, {layer.units}, {n});"

    def _terms(self, value: int, terms: list[Term] | tuple[Term, ...], units: int, n: str, of: str = "w") -> list[str]:
        """A call a term, or one a tap where it is dilated: a window's rows lie side by side."""
        lines = []
        for number, term in enumerate(terms):
            _, width, taps = term.weight.shape
            weights = self._table(f"{of}{value}_{number}", term.weight.permute(2, 1, 0))
            if term.dilation == 1:
                lines.append(self._add(term, term.span, weights, units, taps * width, n))
                continue
            for tap in range(taps):
                back, part = term.span - tap * term.dilation, f"{weights} + {tap * width * units}"
                lines.append(self._add(term, back, part, units, width, n))
        return lines

    def _add(self, term: Term, back: int, weights: str, units: int, count: int, n: str) -> str:
        row = self.row(term.source, back)
        if n == "1":
            return (
                f"add_dot(z, {row}, {weights}, {count});"
                if units == 1
                else f"add(z, {row}, {weights}, {units}, {count});"
            )
        return f"add_rows(z, {row}, {self.plan.width(term.source)}, {weights}, {units}, {count}, n);"

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
        """Add a table of constants, and return its name."""
        self.tables.append(table(name, values))
        return name


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
