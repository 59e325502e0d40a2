"""Simplifying a plan for playing: bits, and layers over them, become tables, and lone activations merge."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import torch
from torch import Tensor

from fxemu.engine.feedforward import evaluate
from fxemu.engine.plan import CLAMP, FIRST, IDENTITY, Knobs, Layer, Lookup, Mix, Plan, Product, State, Step, Term

# In half steps between two levels: how far from its level a row of a table is checked to hold.
NEARLY_HALF = 0.49


def simplify(plan: Plan) -> Plan:
    """A plan of fewer steps with the same numbers, but for rounding half-way between two levels of a code.

    The n bits of a sample, and each layer over them alone, become tables of the 2^n - 1 levels: a fraction of the work.
    An activation that is a step of its own becomes that of the step before. The tables are copies of what the weights
    hold at this moment, and the parameters that a sample is decoded from are dropped: for playing, not for training.
    """
    steps = [_table(plan, value) or step for value, step in plan.values()]
    return _without_unread(_merged(replace(plan, steps=steps)))


def _merged(plan: Plan) -> Plan:
    """The plan whose lone activations are those of the steps before them, where nothing else reads these."""
    readers = Counter(source for step in plan.steps for source in step.spans())
    remembered = set(plan.sources.values())
    steps = list(plan.steps)
    for value, step in plan.values():
        source = _activated(step)
        if source is not None and source >= FIRST and readers[source] == 1 and source not in remembered:
            before = plan.step(source)
            if isinstance(before, Layer | Mix) and before.activation == IDENTITY:
                steps[value - FIRST] = replace(before, activation=step.activation)
    return replace(plan, steps=steps)


def _activated(step: Step) -> int | None:
    """The source of a step that is nothing but an activation."""
    if isinstance(step, Mix) and len(step.products) == 1:
        (product,) = step.products
        if len(product.factors) == 1 and not isinstance(product.scale, Tensor) and product.scale == 1:
            return product.factors[0]
    return None


def _table(plan: Plan, value: int) -> Lookup | None:
    """The table that replaces bits, or a layer over bits alone; None for any other value."""
    bits = _bits_of(plan, value)
    if bits is None:
        return None
    top = 2 ** (plan.width(bits) - 1) - 1
    levels = torch.arange(-top, top + 1) / top
    for sample in reversed(range(bits)):
        if plan.width(sample) == 1 and _determines(plan, sample, bits):
            rows = _rows(plan, sample, levels, value)
            near = [_rows(plan, sample, levels + side * NEARLY_HALF / top, value) for side in (-1, 1)]
            clamped = plan.step(sample) if sample >= FIRST else None
            if isinstance(clamped, Mix) and clamped.activation == CLAMP and _activated(clamped) is not None:
                sample = _activated(clamped)  # a lookup clamps by itself
            return Lookup(sample, rows, nearest=True) if all(torch.equal(rows, other) for other in near) else None
    return None


def _bits_of(plan: Plan, value: int) -> int | None:
    """The value of the bits that a value consists of, or is a layer over; None if neither."""
    step = plan.step(value)
    if not isinstance(step, Layer) or _is_code(step):
        return value if _is_code(step) else None
    alone = len(step.terms) == 1 and step.terms[0].span == 0 and step.terms[0].source >= FIRST
    return step.terms[0].source if alone and _is_code(plan.step(step.terms[0].source)) else None


def _is_code(step: Step) -> bool:
    return isinstance(step, Layer) and step.activation.kind == "bits" and step.units > 1


def _determines(plan: Plan, sample: int, value: int) -> bool:
    """Whether a value depends on one other alone."""
    if value == sample:
        return True
    sources = plan.step(value).spans() if value > sample and value >= FIRST else {}
    return bool(sources) and not any(sources.values()) and all(_determines(plan, sample, s) for s in sources)


def _rows(plan: Plan, sample: int, levels: Tensor, value: int) -> Tensor:
    """A value at each level of a sample: (levels, U)."""
    return evaluate(plan, {sample: levels[None, None]}, {value})[value][0].T.contiguous()


def _without_unread(plan: Plan) -> Plan:
    """The plan without the steps whose values nothing reads."""
    read, todo = set(), [plan.last, *plan.sources, *plan.sources.values()]
    while todo:
        value = todo.pop()
        if value >= FIRST and value not in read:
            read.add(value)
            todo += plan.step(value).spans()
    kept = sorted(read)
    number = {0: 0, 1: 1, **{value: FIRST + i for i, value in enumerate(kept)}}
    steps = [renumbered(plan.step(value), number) for value in kept]
    return Plan(steps, {number[state]: number[source] for state, source in plan.sources.items()}, number[plan.last])


def renumbered(step: Step, number: dict[int, int]) -> Step:
    if isinstance(step, Layer):
        return replace(step, terms=tuple(replace(term, source=number[term.source]) for term in step.terms))
    if isinstance(step, Mix):
        products = tuple(replace(p, factors=tuple(number[factor] for factor in p.factors)) for p in step.products)
        return replace(step, products=products)
    return step if isinstance(step, State | Knobs) else replace(step, source=number[step.source])


def on_cpu(plan: Plan) -> Plan:
    """A copy of the plan whose weights are plain float32 tensors on the CPU."""
    return Plan([_frozen(step) for step in plan.steps], dict(plan.sources), plan.params)


def _frozen(step: Step) -> Step:
    if isinstance(step, Layer):
        terms = tuple(Term(t.source, _copy(t.weight), t.dilation) for t in step.terms)
        return replace(step, terms=terms, bias=None if step.bias is None else _copy(step.bias))
    if isinstance(step, Mix):
        scales = [p.scale if isinstance(p.scale, float) else _copy(p.scale) for p in step.products]
        return replace(step, products=tuple(Product(p.factors, s) for p, s in zip(step.products, scales, strict=True)))
    return replace(step, table=_copy(step.table)) if isinstance(step, Lookup) else step


def _copy(weight: Tensor) -> Tensor:
    return weight.detach().cpu().float().clone()
