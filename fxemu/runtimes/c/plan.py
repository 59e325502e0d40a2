"""A plan as C: every step a few lines over rows of floats, one row a sample, where `engine/layout.py` puts them.

In what is written, `s` is the struct, `t` the first sample of the block to compute and `n` their number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from fxemu.engine.activations import RECORDS
from fxemu.engine.layout import Layout
from fxemu.engine.partition import Partition
from fxemu.engine.plan import DRY, IDENTITY, PERIOD, Activation, Layer, Lookup, Mix, Part, Product, Step, Term
from fxemu.engine.simplify import on_cpu
from fxemu.engine.steady_state import steady_state
from fxemu.runtimes.base import Model
from fxemu.runtimes.c.runs import read_after, runs, stacks

# Samples computed at once; pasts are moved back to the start of their rows every so many.
BLOCK = 128


class PlanInC:
    """The parts of a C file that follow from a model's plan; `tables` grows as they are asked for."""

    def __init__(self, model: Model) -> None:
        self.name, self.plan = model.identifier, on_cpu(model.playable.plan())
        self.partition = Partition(self.plan)
        self.layout = Layout(self.partition, BLOCK, early=True)
        self.quiet = steady_state(model.playable, self.plan, model.default_positions)
        self.control_outputs = sorted(self.plan.control_outputs)
        self.tables: list[str] = []
        self.names: dict[bytes, str] = {}
        values, drives = self.layout.signals.items(), self.layout.drives.items()
        # An array a signal, not one for all: so a compiler knows that they do not overlap.
        self.arrays = {f"v{value}": signal for value, signal in values}
        self.arrays |= {f"d{value}": signal for value, signal in drives if self.layout.driven(value)}
        # Those of one sample are on the stack, where a compiler knows of every pointer; the others in the struct.
        self.places, self.sizes = {name: f"s->{name}" for name in self.arrays}, {}
        self.groups = [group for run in runs(self.plan, self.partition.looping) for group in self._groups(run)]
        for group in self.groups:
            self._stack(group)

    def _groups(self, run: list[int]) -> list[list[int]]:
        """The values of a run in groups, each computed by one piece of code."""
        if not isinstance(self.plan.step(run[0]), Layer):
            return [run]
        passing = [value for value in run if self._passes(value)]
        return [[value] for value in run if value not in passing] + stacks(self.partition, passing)

    def _passes(self, value: int) -> bool:
        """Whether a looping value is overwritten with every sample."""
        return not self.layout.signals[value].stride

    def _stored(self, value: int, group: list[int]) -> bool:
        """Whether steps outside its group read a value."""
        return not self._passes(value) or value in read_after(self.plan, group)

    def _stack(self, group: list[int]) -> None:
        """Put on the stack the values of a group that are overwritten and read by other steps; layers in one array."""
        layers = isinstance(self.plan.step(group[0]), Layer)
        for value in group:
            if not self._passes(value) or not self._stored(value, group):
                continue
            array = f"r{group[0] if layers else value}"
            first = self.sizes.get(array, 0)
            self.places[f"v{value}"] = f"{array} + {first}" if first else array
            self.sizes[array] = first + self.plan.width(value)

    def members(self) -> list[str]:
        """The arrays that the struct holds."""
        ends = [f"float from{v}[{self.plan.width(v)}], rise{v}[{self.plan.width(v)}];" for v in self.control_outputs]
        kept = {name: signal for name, signal in self.arrays.items() if self.places[name] == f"s->{name}"}
        return [*ends, *(f"float {name}[{signal.rows * signal.width}];" for name, signal in kept.items())]

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
        early = [value for value in self.layout.outside if value not in self.partition.control | {DRY}]
        driven = [value for value in self.layout.drives if self.layout.driven(value)]
        ramps = [
            f"ramp({self.row(value)}, s->from{value}, s->rise{value}, {self.plan.width(value)}, {PERIOD}, s->phase, n);"
            for value in self.control_outputs
            if self.layout.signals[value].stride
        ]
        return [*ramps, *(line for value in early for line in self._step(value, "n"))] + [
            line for value in driven for line in self._drive(value)
        ]

    def point(self) -> list[str]:
        """Lines for the control values, at the positions of the knobs in their row."""
        steps = [value for value in self.layout.outside if value in self.partition.control - {self.plan.knobs}]
        return [line for value in steps for line in self._step(value, "1")] + [
            f"next(s->from{value}, s->rise{value}, {self.row(value)}, {self.plan.width(value)}, s->fresh);"
            for value in self.control_outputs
        ]

    def sample(self) -> list[str]:
        """Lines for the other steps, for the sample t."""
        arrays = [f"float {name}[{size}];" for name, size in self.sizes.items()]
        lines = [line for group in self.groups for line in self._together(group)]
        if any("share * " in line for line in lines):
            arrays.append(f"const float share = (float)(s->phase + t - s->t) / {PERIOD}.0f;")
        return arrays + lines

    def row(self, value: int, back: int = 0) -> str:
        """The row of sample t, or of the one `back` before."""
        return self._place(*self.layout.address(value, back))

    def _place(self, first: int, stride: int) -> str:
        """An address of the layout, `stride` further on with every sample."""
        name, signal = next(item for item in self.arrays.items() if item[1].start <= first < item[1].end)
        return f"{self.places[name]} + {first - signal.start}" + (f" + t * {stride}" if stride else "")

    def _step(self, value: int, n: str) -> list[str]:
        step = self.plan.step(value)
        if isinstance(step, Mix):
            return _block([value], step, self._mixes([value], n))
        make = {Layer: self._layer, Lookup: self._lookup, Part: self._part}[type(step)]
        return _block([value], step, [f"float *z = {self.row(value)};", *make(value, step, n), *_activate(step, n)])

    def _together(self, group: list[int]) -> list[str]:
        """Lines that compute a group for one sample."""
        first = self.plan.step(group[0])
        if isinstance(first, Mix):
            return _block(group, first, self._mixes(group, "1"))
        if len(group) == 1:
            return self._step(group[0], "1")
        layers = [self.plan.step(value) for value in group]
        lines = [f"float *z = {self.row(group[0])};"]
        lines += [self._start(value, self.row(value), "1") for value in group]
        terms = [
            replace(same[0], weight=torch.cat([term.weight for term in same]))
            for same in zip(*map(self.partition.looping_terms, group), strict=True)
        ]
        lines += self._terms(group[0], terms, sum(layer.units for layer in layers), "1")
        for value, layer in zip(group, layers, strict=True):
            lines += _activate(layer, "1", self.row(value))
        return _block(group, first, lines)

    def _layer(self, value: int, layer: Layer, n: str) -> list[str]:
        driven = value in self.layout.drives and self.layout.driven(value)
        terms = self.partition.looping_terms(value) if driven else layer.terms
        return [self._start(value, "z", n), *self._terms(value, terms, layer.units, n)]

    def _start(self, value: int, z: str, n: str) -> str:
        """A line that puts into a layer's row what is known before the loop."""
        layer = self.plan.step(value)
        if value not in self.layout.drives or not self.layout.driven(value):
            # Constants, not a copy of them: a compiler makes more of these.
            return self._bias(value, layer, z, n)
        drive = self.layout.drives[value]
        return f"memcpy({z}, {self._place(drive.row(0), drive.stride)}, {layer.units} * sizeof(float));"

    def _drive(self, value: int) -> list[str]:
        """The part of a looping layer that is computed before the loop, bias included."""
        layer, drive = self.plan.step(value), self.layout.drives[value]
        start = [f"float *z = {self._place(drive.row(0), drive.stride)};", self._bias(value, layer, "z", "n")]
        lines = start + self._terms(value, self.partition.driving_terms(value), layer.units, "n", "d")
        return [f"{{ /* into {value} */", *(f"  {line}" for line in lines), "}"]

    def _bias(self, value: int, layer: Layer, z: str, n: str) -> str:
        if layer.bias is None:
            return f"memset({z}, 0, (size_t){n} * {layer.units} * sizeof(float));"
        return f"fill({z}, {self._table(f'b{value}', layer.bias)}, {layer.units}, {n});"

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

    def _mixes(self, group: list[int], n: str) -> list[str]:
        """One loop over the units of mixes of the same width; what is read nowhere else is not stored."""
        mixes = {value: self.plan.step(value) for value in group}
        read = sorted({factor for mix in mixes.values() for factor in mix.spans()} - set(group))
        stored = [value for value in group if self._stored(value, group)]
        # In the loop control values lie on straight lines.
        rising = [factor for factor in read if n == "1" and factor in self.control_outputs]
        lines = [f"const float *x{factor} = {self.row(factor)};" for factor in read if factor not in rising]
        lines += [f"const float *x{factor} = s->from{factor}, *rise{factor} = s->rise{factor};" for factor in rising]
        lines += [f"float *z{value} = {self.row(value)};" for value in stored]
        names = {factor: f"x{factor}[i]" for factor in read} | {value: f"y{value}" for value in group}
        names |= {factor: f"(x{factor}[i] + share * rise{factor}[i])" for factor in rising}
        lines += ["int i;", f"for (i = 0; i < {n} * {mixes[group[0]].units}; i++) {{"]
        for value, mix in mixes.items():
            products = [self._product(f"s{value}_{i}", p, mix.units, names) for i, p in enumerate(mix.products)]
            lines.append(f"  const float y{value} = {_activated(' + '.join(products), mix.activation)};")
        lines += [*(f"  z{value}[i] = y{value};" for value in stored), "}"]
        of_rows = [value for value in group if RECORDS[mixes[value].activation.kind].c_unit is None]
        return lines + [line for value in of_rows for line in _activate(mixes[value], n, f"z{value}")]

    def _product(self, name: str, product: Product, units: int, names: Mapping[int, str]) -> str:
        factors = [names[factor] for factor in product.factors]
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


def _activate(step: Step, n: str, z: str = "z") -> list[str]:
    activation: Activation = IDENTITY if isinstance(step, Part) else step.activation
    if activation == IDENTITY:
        return []
    return [f"to_{activation.kind}({z}, {step.units}, {n}, {number(activation.parameter)});"]


def _activated(x: str, activation: Activation) -> str:
    """An expression of one unit, activated if its activation is one of each unit alone."""
    if activation == IDENTITY or RECORDS[activation.kind].c_unit is None:
        return x
    return f"unit_{activation.kind}({x}, {number(activation.parameter)})"


def _block(group: Sequence[int], step: Step, lines: list[str]) -> list[str]:
    kind = type(step).__name__.lower() if len(group) == 1 else {Layer: "layers", Mix: "mixes"}[type(step)]
    units = f" of {step.units}" if len(group) == 1 or isinstance(step, Mix) else ""
    return [f"{{ /* {', '.join(map(str, group))}: {kind}{units} */", *(f"  {line}" for line in lines), "}"]


def table(name: str, values: Tensor) -> str:
    """A constant array of floats, laid out as `values` is, each with the digits that give it back exactly."""
    numbers = [number(x) for x in values.reshape(-1).tolist()]
    lines = [", ".join(numbers[i : i + 8]) for i in range(0, len(numbers), 8)]
    return f"static const float {name}[{len(numbers)}] = {{\n  " + ",\n  ".join(lines) + "\n};"


def number(x: float) -> str:
    """A float constant of C."""
    digits = f"{x:.9g}"
    return digits + ("f" if "." in digits or "e" in digits else ".0f")
