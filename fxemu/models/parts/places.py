"""Places of a predictor's parameters in its plan, found by changing one after another.

A place is a unit of a layer with a bias, the layer being counted in the predictor's own plan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from fxemu.engine.plan import DRY, FIRST, WET, Layer, Lookup, Mix, Plan, Step
from fxemu.engine.simplify import renumbered
from fxemu.models.base import Predictor


@dataclass(frozen=True)
class Places:
    """Places of a parameter's rows: row `rows[i]`, times `factors[i]`, is at unit `units[i]` of layer `layers[i]`."""

    rows: Tensor
    layers: Tensor
    units: Tensor
    factors: Tensor


def planned(predictor: Predictor, plan: Plan, changed: Mapping[str, Tensor] | None = None, *read: int) -> Plan:
    """A copy of the plan with a predictor appended, some of its parameters changed; `params` are its own.

    `read` are the values of dry and wet for it; DRY and WET if they are not given.
    """
    copied = Plan(list(plan.steps), dict(plan.sources), channels=plan.channels)
    renamed = {f"predictor.{name}": x for name, x in (changed or {}).items()}
    copied.params = functional_call(_Planner(predictor), renamed, (copied, *(read or (DRY, WET))))
    return copied


def append_with(plan: Plan, own: Plan, turn: Callable[[int, Step], Step | int]) -> int:
    """Append a predictor to a plan, some of its steps replaced; returns the number of its params.

    Args:
        plan: to append to.
        own: the same with the predictor appended, as `planned` returns it.
        turn: called with the index of each of the predictor's steps and the step as it would be appended; returns what
            to append, or the number of a value that it has appended itself.
    """
    first = FIRST + len(plan.steps)
    number = {value: value for value in range(first)}
    for i, step in enumerate(own.steps[len(plan.steps) :]):
        made = turn(i, renumbered(step, number))
        number[first + i] = made if isinstance(made, int) else plan.append(made)
    for state, source in own.sources.items():
        if state not in plan.sources:
            plan.close(number[state], number[source])
    return number[own.params]


class _Planner(nn.Module):
    """A predictor whose call appends its plan, for `functional_call`."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.predictor = predictor

    def forward(self, plan: Plan, dry: int, wet: int) -> int:
        return self.predictor.plan(plan, dry, wet)


def is_bias(name: str, parameter: Tensor) -> bool:
    return parameter.ndim == 1 and name.rsplit(".", 1)[-1].startswith("bias")


def has_bias(step: Step) -> bool:
    return isinstance(step, Layer) and step.bias is not None


@torch.no_grad()
def bias_places(predictor: Predictor, channels: int) -> dict[str, Places]:
    """Places of the numbers of each bias, by its name; a plan's biases are sums of multiples of the predictor's."""
    own = planned(predictor, Plan(channels=channels)).steps
    found = {}
    for name, x in predictor.named_parameters():
        if is_bias(name, x):
            factors, numbered = (
                _bias_changes(own, planned(predictor, Plan(channels=channels), {name: x + change}).steps)
                for change in (torch.ones(len(x)), torch.arange(1.0, len(x) + 1))
            )
            places = [
                (round(float(number[unit] / factor[unit])) - 1, layer, unit, float(factor[unit]))
                for (layer, factor), number in zip(factors.items(), numbered.values(), strict=True)
                for unit in (factor.abs() > 1e-4).nonzero()[:, 0].tolist()
            ]
            if places:
                rows, layers, units, weights = zip(*places, strict=True)
                found[name] = Places(*map(torch.tensor, (rows, layers, units)), torch.tensor(weights).round(decimals=4))
    return found


def by_layer(places: Mapping[str, Places], given: Mapping[str, Tensor], steps: Sequence[Step]) -> dict[int, Tensor]:
    """What is given for biases by name, (U, F) each, by the layers that have them: (units, F) for each layer."""
    columns = next(iter(given.values())).shape[1]
    totals = {i: step.bias.new_zeros(step.units, columns) for i, step in enumerate(steps) if has_bias(step)}
    for name, found in places.items():
        for layer in found.layers.unique().tolist() if name in given else ():
            here = found.layers == layer
            rows = found.factors[here, None].to(given[name]) * given[name][found.rows[here]]
            totals[layer] = totals[layer].index_add(0, found.units[here].to(rows.device), rows)
    return totals


def _bias_changes(steps: list[Step], moved: list[Step]) -> dict[int, Tensor]:
    return {
        i: other.bias - step.bias for i, (step, other) in enumerate(zip(steps, moved, strict=True)) if has_bias(step)
    }


@torch.no_grad()
def weight_places(predictor: Predictor, channels: int) -> dict[str, Places]:
    """The weights of layers that are nothing but rows of parameters that are nowhere else, by the parameter's name.

    Found by adding its number, from 1, to each row of a parameter: where this comes out is where the row is.
    """
    steps = planned(predictor, Plan(channels=channels)).steps
    left = {i: step.multiply_adds() for i, step in enumerate(steps) if has_bias(step)}
    found = {}
    for name, x in predictor.named_parameters():
        numbers = torch.arange(1.0, len(x) + 1).view(-1, *[1] * (x.ndim - 1))
        moved = planned(predictor, Plan(channels=channels), {name: x + numbers}).steps
        places = _row_places(steps, moved) if x.ndim > 1 else []
        rows, layers, units, counts = zip(*places, strict=True) if places else ((), (), (), ())
        if len(set(rows)) == len(rows) > 0:
            for layer, count in zip(layers, counts, strict=True):
                left[layer] -= count
            found[name] = Places(*map(torch.tensor, (rows, layers, units)), torch.ones(len(rows)))
    whole = torch.tensor([i for i, rest in left.items() if rest == 0])
    kept = {name: torch.isin(places.layers, whole) for name, places in found.items()}
    return {
        name: Places(*(x[kept[name]] for x in (places.rows, places.layers, places.units, places.factors)))
        for name, places in found.items()
        if kept[name].any()
    }


def _row_places(steps: list[Step], moved: list[Step]) -> list[tuple[int, int, int, int]]:
    """(row, layer, unit, how many weights) for each unit that a row of a parameter is at; empty if it is elsewhere too.

    `moved` are the steps with its number, from 1, added to each row of the parameter.
    """
    places = []
    for i, (step, other) in enumerate(zip(steps, moved, strict=True)):
        if not isinstance(step, Layer):
            if any((a - b).any() for a, b in zip(_numbers(step), _numbers(other), strict=True)):
                return []
            continue
        terms = zip(step.terms, other.terms, strict=True)
        change = torch.cat([(b.weight - a.weight).flatten(1) for a, b in terms], dim=1).round().long()
        if change.any() and step.bias is None:
            return []
        for unit in change.any(1).nonzero()[:, 0].tolist():
            rows = change[unit][change[unit] != 0]
            if rows[0] < 1 or (rows != rows[0]).any():
                return []
            places.append((int(rows[0]) - 1, i, unit, rows.numel()))
    return places


def _numbers(step: Step) -> list[Tensor]:
    """The numbers of a step that is no layer."""
    scales = [product.scale for product in step.products] if isinstance(step, Mix) else []
    return [torch.as_tensor(x) for x in (*scales, *([step.table] if isinstance(step, Lookup) else []))]
