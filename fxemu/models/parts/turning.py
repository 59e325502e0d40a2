"""Knobs joined to a predictor: they shift and scale the sums of its layers, and dry has a gain.

Each of its layers becomes activation(scale * weights * inputs + bias + shift), by numbers for each unit that depend on
the knobs (Perez et al. 2018, "FiLM: visual reasoning with a general conditioning layer"). The gain on dry is what a
drive, an input level or a threshold turns. Shifts are linear in the knobs, as are the logarithms of scales and gain.
Knobs that stand still are part of weights and biases, and cost nothing. Shapes: U units, K knobs.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from fxemu.engine.plan import DRY, FIRST, IDENTITY, WET, Activation, Layer, Lookup, Mix, Plan, Product, Step, Term
from fxemu.engine.simplify import renumbered
from fxemu.models.base import Predictor

# The standard deviations at the start of training for a knob at its end, of shifts and of scales' logarithms.
SHIFT, SCALE = 0.1, 0.03
# What depends on the knobs is learned so many times faster than the weights: it has farther to go.
SPEED = 5.0
# The largest gain on dry, 60 dB, and the largest scale.
LOUDEST, LARGEST = 1000.0, 10.0
DECAY = Activation("decay")

# Of each parameter: the layer (its number in the predictor's own plan) and the unit that each row feeds; -1 for none.
Rows = dict[str, tuple[Tensor, Tensor]]


class Turning(nn.Module):
    """What K knobs give for a predictor: a shift and a scale for each unit of its layers, and a gain on dry.

    Shifts and scales are kept by the biases that they belong to, (U, K) for each: a layer has the sum of those of its
    biases. Only layers whose weights belong to no other layer are scaled.

    Raises:
        ValueError: for a predictor without a bias that its plan reads.
    """

    def __init__(self, predictor: Predictor, knobs: int, channels: int, with_gain: bool = True) -> None:
        super().__init__()
        biases = {name: x for name, x in predictor.named_parameters() if _is_bias(name, x)}
        if not biases:
            raise ValueError(f"knobs: {type(predictor).__name__} has nothing that a knob could turn; use another model")
        self.count, self.channels = knobs, channels
        self.gain = nn.Parameter(torch.zeros(1, knobs)) if with_gain else None
        self.weights = nn.ParameterDict(
            {_key(name): nn.Parameter(SHIFT / SPEED * torch.randn(x.numel(), knobs)) for name, x in biases.items()}
        )
        self.scales = nn.ParameterDict(
            {_key(name): nn.Parameter(SCALE / SPEED * torch.randn(x.numel(), knobs)) for name, x in biases.items()}
        )
        # Found when they are first needed: a model may be made without numbers, for its shapes.
        self._rows: Rows | None = None

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *more: Any) -> None:
        state_dict |= with_scales(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *more)

    def rows(self, predictor: Predictor) -> Rows:
        """The rows of the predictor's weights that are scaled."""
        self._rows = _rows(predictor, self.channels) if self._rows is None else self._rows
        return self._rows

    def plan(self, predictor: Predictor, plan: Plan, knobs: int | Tensor, dry: int, wet: int) -> int:
        """Append a predictor to a plan, its layers moved by the knobs; returns the number of its params.

        Args:
            predictor: to append.
            plan: to append to.
            knobs: their value in the plan or, if they stand still, their positions in each stream of a batch, (B, K).
            dry, wet: as for `Predictor.plan`.
        """
        own, params = _planned(predictor, plan, dry, wet)
        first = FIRST + len(plan.steps)
        shifts, scales = (self._by_layer(predictor, plan, given, dry, wet) for given in (self.weights, self.scales))
        number = {value: value for value in range(first)}
        scaled = {i for layers, _ in self.rows(predictor).values() for i in layers.tolist()}
        for i, step in enumerate(own.steps[len(plan.steps) :]):
            step = renumbered(step, number)
            if i in shifts:
                value = self._turned(plan, step, knobs, dry, shifts[i], scales[i] if i in scaled else None)
            else:
                value = plan.append(step)
            number[first + i] = value
        for state, source in own.sources.items():
            if state not in plan.sources:
                plan.close(number[state], number[source])
        return number[params]

    def _turned(
        self, plan: Plan, layer: Layer, knobs: int | Tensor, dry: int, shift: Tensor, scale: Tensor | None
    ) -> int:
        """Append a layer with its shift and its scale, (U, K)."""
        if scale is None:
            if isinstance(knobs, Tensor):
                return plan.append(replace(layer, bias=layer.bias + knobs @ shift.T))
            return plan.append(replace(layer, terms=(*layer.terms, Term(knobs, shift[..., None]))))
        total = plan.append(Layer(layer.terms))
        limit = scale.new_full((layer.units,), -math.log(LARGEST))
        factor = self._given(plan, knobs, dry, scale, limit, DECAY)
        bias = self._given(plan, knobs, dry, shift, layer.bias)
        return plan.mix(Product((total, factor), LARGEST), Product((bias,)), activation=layer.activation)

    def _given(
        self,
        plan: Plan,
        knobs: int | Tensor,
        dry: int,
        weight: Tensor,
        bias: Tensor,
        activation: Activation = IDENTITY,
    ) -> int:
        """Append activation(bias + weight * knobs), weight (U, K)."""
        if isinstance(knobs, Tensor):
            nothing = Term(dry, weight.new_zeros(len(weight), plan.width(dry), 1))
            return plan.add(nothing, bias=bias + knobs @ weight.T, activation=activation)
        return plan.add(Term(knobs, weight[..., None]), bias=bias, activation=activation)

    def plan_gained(self, plan: Plan, knobs: int | Tensor, dry: int) -> int:
        """Append dry times its gain to a plan; returns the number of its value. `knobs` as for `plan`."""
        if self.gain is None:
            return dry
        quiet = self.gain.new_full((1,), -math.log(LOUDEST))
        gain = self._given(plan, knobs, dry, SPEED * self.gain, quiet, DECAY)
        return plan.mix(Product((dry, gain), LOUDEST))

    @torch.no_grad()
    def gain_at(self, at: Tensor) -> float:
        """The gain on dry with the knobs at positions (K,)."""
        return 1.0 if self.gain is None else min(LOUDEST, float((SPEED * self.gain[0] @ at.to(self.gain)).exp()))

    def _by_layer(
        self, predictor: Predictor, plan: Plan, given: nn.ParameterDict, dry: int, wet: int
    ) -> dict[int, Tensor]:
        """What is kept by biases, by layers of the predictor's plan: (U, K) for each layer with a bias."""
        first = len(plan.steps)
        steps = _planned(predictor, plan, dry, wet)[0].steps[first:]
        own, moved = dict(predictor.named_parameters()), []
        for knob in range(self.count):
            changed = {name: own[name] + SPEED * given[_key(name)][:, knob] for name in own if _key(name) in given}
            moved.append(_planned(predictor, plan, dry, wet, changed)[0].steps[first:])
        # The biases of a plan are linear in those of the predictor.
        return {
            i: torch.stack([each[i].bias - step.bias for each in moved], dim=1)
            for i, step in enumerate(steps)
            if isinstance(step, Layer) and step.bias is not None
        }

    @torch.no_grad()
    def baked(self, predictor: Predictor, at: Tensor) -> Predictor:
        """A copy of the predictor with the knobs at positions (K,), which are part of its weights and biases."""
        copied, rows = copy.deepcopy(predictor), self.rows(predictor)
        at = at.to(next(self.parameters()))
        logarithms = self._by_layer(predictor, Plan(channels=self.channels), self.scales, DRY, WET)
        factors = {i: (scale @ at).clamp_max(math.log(LARGEST)).exp() for i, scale in logarithms.items()}
        for name, parameter in copied.named_parameters():
            if _key(name) in self.weights:
                parameter += SPEED * self.weights[_key(name)] @ at
            elif name in rows:
                places = zip(*(x.tolist() for x in rows[name]), strict=True)
                by_row = torch.stack([factors[i][unit] if i >= 0 else at.new_ones(()) for i, unit in places])
                parameter *= by_row.view(-1, *[1] * (parameter.ndim - 1))
        return copied


def with_scales(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Weights of a model with knobs, those of earlier versions too: without scales, and learned at the usual speed."""
    shifts = {name: x for name, x in weights.items() if name.startswith(f"{prefix}weights.")}
    if not shifts or any(name.startswith(f"{prefix}scales.") for name in weights):
        return dict(weights)
    gain = {name: x / SPEED for name, x in weights.items() if name == f"{prefix}gain"}
    scales = {name.replace(f"{prefix}weights.", f"{prefix}scales."): torch.zeros_like(x) for name, x in shifts.items()}
    return {**weights, **gain, **{name: x / SPEED for name, x in shifts.items()}, **scales}


class _Planner(nn.Module):
    """A predictor whose call appends its plan, for `functional_call`."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.predictor = predictor

    def forward(self, plan: Plan, dry: int, wet: int) -> int:
        return self.predictor.plan(plan, dry, wet)


def _planned(
    predictor: Predictor, plan: Plan, dry: int, wet: int, changed: dict[str, Tensor] | None = None
) -> tuple[Plan, int]:
    """A copy of the plan with a predictor appended, some of its parameters changed; and the number of its params."""
    scratch = Plan(list(plan.steps), dict(plan.sources), channels=plan.channels)
    renamed = {f"predictor.{name}": x for name, x in (changed or {}).items()}
    return scratch, functional_call(_Planner(predictor), renamed, (scratch, dry, wet))


@torch.no_grad()
def _rows(predictor: Predictor, channels: int) -> Rows:
    """The parameters whose rows are rows of weights of one layer with a bias each, and nothing else.

    Found by adding its number, from 1, to each row of a parameter: where this comes out is where the row is.
    """
    empty = Plan(channels=channels)
    steps = _planned(predictor, empty, DRY, WET)[0].steps
    left = {i: step.multiply_adds() for i, step in enumerate(steps) if _has_bias(step)}
    found: Rows = {}
    for name, x in predictor.named_parameters():
        numbers = torch.arange(1.0, len(x) + 1).view(-1, *[1] * (x.ndim - 1))
        places = (
            _places(steps, _planned(predictor, empty, DRY, WET, {name: x + numbers})[0].steps) if x.ndim > 1 else []
        )
        rows = [row for *_, row, _ in places]
        if len(set(rows)) == len(rows) > 0:
            layers, units = torch.full((len(x),), -1), torch.zeros(len(x), dtype=torch.long)
            for i, unit, row, entries in places:
                layers[row], units[row] = i, unit
                left[i] -= entries
            found[name] = layers, units
    for layers, _ in found.values():
        layers[[left.get(i) != 0 for i in layers.tolist()]] = -1
    return {name: rows for name, rows in found.items() if (rows[0] >= 0).any()}


def _places(steps: list[Step], moved: list[Step]) -> list[tuple[int, int, int, int]]:
    """(layer, unit, row, how many weights) for each unit that a row of a parameter feeds; empty if not only.

    `moved` are the steps with its number, from 1, added to each row of the parameter.
    """
    places = []
    for i, (step, other) in enumerate(zip(steps, moved, strict=True)):
        if not isinstance(step, Layer):
            if any((a - b).any() for a, b in zip(_tensors(step), _tensors(other), strict=True)):
                return []
            continue
        change = torch.cat(
            [(b.weight - a.weight).flatten(1) for a, b in zip(step.terms, other.terms, strict=True)], dim=1
        )
        change = change.round().long()
        if change.any() and not _has_bias(step):
            return []
        for unit in change.any(1).nonzero()[:, 0].tolist():
            rows = change[unit][change[unit] != 0].unique().tolist()
            if len(rows) > 1 or rows[0] < 0:
                return []
            places.append((i, unit, rows[0] - 1, int((change[unit] != 0).sum())))
    return places


def _has_bias(step: Step) -> bool:
    return isinstance(step, Layer) and step.bias is not None


def _tensors(step: Step) -> list[Tensor]:
    """The numbers of a step that is no layer."""
    scales = [product.scale for product in step.products] if isinstance(step, Mix) else []
    return [torch.as_tensor(x) for x in (*scales, *([step.table] if isinstance(step, Lookup) else []))]


def _is_bias(name: str, parameter: Tensor) -> bool:
    return parameter.ndim == 1 and name.rsplit(".", 1)[-1].startswith("bias")


def _key(name: str) -> str:
    """A parameter's name without dots, which have a meaning of their own in modules."""
    return name.replace(".", "/")
