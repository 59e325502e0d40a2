"""Steps of a plan's loop that C computes together: layers over the same inputs, and mixes of the same width."""

from __future__ import annotations

from collections.abc import Iterable

from fxemu.engine.activations import RECORDS
from fxemu.engine.partition import Partition
from fxemu.engine.plan import Layer, Mix, Plan


def runs(plan: Plan, looping: Iterable[int]) -> list[list[int]]:
    """The values in order, cut where the next one cannot be computed together with those before it."""
    result: list[list[int]] = []
    for value in looping:
        if result and _joins(plan, result[-1], value):
            result[-1].append(value)
        else:
            result.append([value])
    return result


def _joins(plan: Plan, run: list[int], value: int) -> bool:
    """Layers of which none reads another, or mixes that read each other unit by unit."""
    first, step = plan.step(run[0]), plan.step(value)
    if isinstance(first, Layer) and isinstance(step, Layer):
        return not {plan.whole(source) for source in step.spans()}.intersection(run)
    if isinstance(first, Mix) and isinstance(step, Mix) and first.units == step.units:
        parts = [source for source in step.spans() if plan.whole(source) != source]
        unit_by_unit = all(RECORDS[mix.activation.kind].c_unit for mix in (first, step))
        return unit_by_unit and not {plan.whole(source) for source in parts}.intersection(run)
    return False


def stacks(partition: Partition, run: list[int]) -> list[list[int]]:
    """A run of layers in groups over the same windows of the same sources."""
    groups: dict[tuple[tuple[int, ...], ...], list[int]] = {}
    for value in run:
        windows = ((t.source, t.dilation, *t.weight.shape[1:]) for t in partition.looping_terms(value))
        groups.setdefault(tuple(windows), []).append(value)
    return list(groups.values())


def read_after(plan: Plan, run: list[int]) -> set[int]:
    """The values of a run that steps outside it read, or that are the output."""
    read = {source for value, step in plan.values() if value not in run for source in step.spans()}
    return (read | {plan.last}).intersection(run)
