"""Knobs joined to a predictor: they shift and scale the sums of its layers, and dry has a gain.

Each of its layers becomes activation(scale * weights * inputs + bias + shift), by numbers for each unit that depend on
the knobs (Perez et al. 2018, "FiLM: visual reasoning with a general conditioning layer"). The gain on dry is what a
drive, an input level or a threshold turns. Shifts, and the logarithms of scales and gain, are linear in the features of
the knobs: their positions, and HIDDEN functions of all of them. Knobs that stand still are part of weights and biases,
and cost nothing. Shapes: B batch, U units, K knobs, F features of them.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from fxemu.engine.plan import DECAY, IDENTITY, TANH, Activation, Layer, Plan, Product, Step, Term
from fxemu.models.base import Predictor
from fxemu.models.parts.places import Places, append_with, bias_places, by_layer, is_bias, planned, weight_places

# Features of the knobs beside their positions: tanh of sums of them.
HIDDEN = 16
# The standard deviations at the start of training for a feature of 1, of shifts and of scales' logarithms.
SHIFT, SCALE = 0.1, 0.03
# What depends on the knobs is learned so many times faster than the weights: it has farther to go.
SPEED = 5.0
# The largest gain on dry, 60 dB, and the largest scale.
LOUDEST, LARGEST = 1000.0, 10.0


class Conditioning(nn.Module):
    """Conditioning of a predictor on K knobs: a shift and a scale for each unit of its layers, and a gain on dry.

    Shifts and scales are kept by the biases that they belong to, (U, F) for each: a layer has the sum of those of its
    biases. Only layers whose weights belong to no other layer are scaled.

    Args:
        predictor: that they turn.
        knobs: K.
        channels: of its features.
        with_gain: whether dry has a gain.

    Raises:
        ValueError: for a predictor without a bias that its plan reads.
    """

    def __init__(self, predictor: Predictor, knobs: int, channels: int, with_gain: bool = True) -> None:
        super().__init__()
        sizes = {name: x.numel() for name, x in predictor.named_parameters() if is_bias(name, x)}
        if not sizes:
            raise ValueError(f"knobs: {type(predictor).__name__} has nothing that a knob could turn; use another model")
        self.channels, features = channels, knobs + HIDDEN
        self.hidden = nn.Linear(knobs, HIDDEN)
        nn.init.normal_(self.hidden.weight)
        nn.init.uniform_(self.hidden.bias, -1, 1)
        self.gain = nn.Parameter(torch.zeros(1, features)) if with_gain else None
        self.weights, self.scales = (
            nn.ParameterDict(
                {_key(name): nn.Parameter(start / SPEED * torch.randn(size, features)) for name, size in sizes.items()}
            )
            for start in (SHIFT, SCALE)
        )
        # Found when they are first needed: a model may be made without numbers, for its shapes.
        self._found: tuple[dict[str, Places], dict[str, Places]] | None = None

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *more: Any) -> None:
        state_dict |= of_this_version(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *more)

    def _places(self, predictor: Predictor) -> tuple[dict[str, Places], dict[str, Places]]:
        """Where the predictor's biases and the weights that are scaled are in its plan."""
        if self._found is None:
            self._found = bias_places(predictor, self.channels), weight_places(predictor, self.channels)
        return self._found

    def features(self, at: Tensor) -> Tensor:
        """Features (B, F) of positions (B, K)."""
        return torch.cat((at, self.hidden(at).tanh()), dim=-1)

    def plan(self, predictor: Predictor, plan: Plan, knobs: int | Tensor, dry: int, wet: int) -> int:
        """Append a predictor to a plan, its layers moved by the knobs; returns the number of its params.

        Args:
            predictor: to append.
            plan: to append to.
            knobs: their value in the plan or, if they stand still, their positions in each stream of a batch, (B, K).
            dry, wet: as for `Predictor.plan`.
        """
        given = _Given(plan, knobs, dry, self)
        own = planned(predictor, plan, None, dry, wet)
        steps = own.steps[len(plan.steps) :]
        shifts, scales = (self._by_layer(predictor, steps, weights) for weights in (self.weights, self.scales))
        scaled = {layer for places in self._places(predictor)[1].values() for layer in places.layers.tolist()}

        def turn(i: int, step: Step) -> Step | int:
            return given.turned(step, shifts[i], scales[i] if i in scaled else None) if i in shifts else step

        return append_with(plan, own, turn)

    def plan_gained(self, plan: Plan, knobs: int | Tensor, dry: int) -> int:
        """Append dry times its gain to a plan; returns the number of its value. `knobs` as for `plan`."""
        if self.gain is None:
            return dry
        return plan.mix(_Given(plan, knobs, dry, self).scaled(dry, self.gain, LOUDEST))

    @torch.no_grad()
    def gain_at(self, at: Tensor) -> float:
        """The gain on dry with the knobs at positions (K,)."""
        if self.gain is None:
            return 1.0
        return min(LOUDEST, float((SPEED * self.gain[0] @ self.features(at.to(self.gain))).exp()))

    def _by_layer(self, predictor: Predictor, steps: list[Step], given: nn.ParameterDict) -> dict[int, Tensor]:
        """What is kept by biases, by layers of the predictor's plan: (U, F) for each layer with a bias."""
        return by_layer(self._places(predictor)[0], {name.replace("/", "."): x for name, x in given.items()}, steps)

    @torch.no_grad()
    def baked(self, predictor: Predictor, at: Tensor) -> Predictor:
        """A copy of the predictor with the knobs at positions (K,), which are part of its weights and biases."""
        copied, (_, weights) = copy.deepcopy(predictor), self._places(predictor)
        features = SPEED * self.features(at.to(self.hidden.weight))
        steps = planned(predictor, Plan(channels=self.channels)).steps
        logarithms = {i: scale @ features for i, scale in self._by_layer(predictor, steps, self.scales).items()}
        factors = {i: x.clamp_max(math.log(LARGEST)).exp() for i, x in logarithms.items()}
        for name, parameter in copied.named_parameters():
            if _key(name) in self.weights:
                parameter += self.weights[_key(name)] @ features
            elif name in weights:
                places = weights[name]
                units = zip(places.layers.tolist(), places.units.tolist(), strict=True)
                rows = parameter[places.rows].flatten(1)
                scaled = torch.stack([factors[layer][unit] for layer, unit in units])[:, None] * rows
                parameter[places.rows] = scaled.view_as(parameter[places.rows])
        return copied


class _Given:
    """What depends on the knobs, appended to a plan as it is needed; arguments as for `Conditioning.plan`."""

    def __init__(self, plan: Plan, knobs: int | Tensor, dry: int, conditioning: Conditioning) -> None:
        self.plan, self.dry, self.still = plan, dry, isinstance(knobs, Tensor)
        if self.still:
            self.features = SPEED * conditioning.features(knobs)
        else:
            weight = conditioning.hidden.weight[..., None]
            self.read = knobs, plan.add(Term(knobs, weight), bias=conditioning.hidden.bias, activation=TANH)

    def value(self, weight: Tensor, bias: Tensor, activation: Activation = IDENTITY) -> int:
        """Append activation(bias + weight * features), weight (U, F)."""
        if self.still:
            nothing = Term(self.dry, weight.new_zeros(len(weight), self.plan.width(self.dry), 1))
            return self.plan.add(nothing, bias=bias + self.features @ weight.T, activation=activation)
        knobs, weight = weight.shape[1] - HIDDEN, SPEED * weight[..., None]
        terms = Term(self.read[0], weight[:, :knobs]), Term(self.read[1], weight[:, knobs:])
        return self.plan.add(*terms, bias=bias, activation=activation)

    def turned(self, layer: Layer, shift: Tensor, scale: Tensor | None) -> int:
        """Append a layer with its shift and, if it is scaled, its scale, (U, F)."""
        if scale is None and self.still:
            return self.plan.append(replace(layer, bias=layer.bias + self.features @ shift.T))
        total, bias = self.plan.append(Layer(layer.terms)), self.value(shift, layer.bias)
        scaled = Product((total,)) if scale is None else self.scaled(total, scale, LARGEST)
        return self.plan.mix(scaled, Product((bias,)), activation=layer.activation)

    def scaled(self, value: int, weight: Tensor, largest: float) -> Product:
        """A value times exp(weight * features), which is at most `largest`; weight (U, F)."""
        factor = self.value(weight, weight.new_full((len(weight),), -math.log(largest)), DECAY)
        if self.still:
            return Product((value, factor), largest)
        # At points alone, not at every sample.
        return Product((value, self.plan.mix(Product((factor,), largest))))


def of_this_version(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Weights of a model with knobs; those of earlier versions have no scales and no hidden features."""
    shifts = {name: x for name, x in weights.items() if name.startswith(f"{prefix}weights.")}
    if not shifts or f"{prefix}hidden.weight" in weights:
        return dict(weights)
    slow = {name: x for name, x in weights.items() if name == f"{prefix}gain"} | shifts
    wide = {name: torch.cat((x / SPEED, x.new_zeros(len(x), HIDDEN)), dim=1) for name, x in slow.items()}
    scales = {name.replace("weights.", "scales."): torch.zeros_like(wide[name]) for name in shifts}
    knobs = next(iter(shifts.values())).shape[1]
    hidden = {f"{prefix}hidden.weight": torch.zeros(HIDDEN, knobs), f"{prefix}hidden.bias": torch.zeros(HIDDEN)}
    return {**weights, **wide, **scales, **hidden}


def _key(name: str) -> str:
    """A parameter's name without dots, which have a meaning of their own in modules."""
    return name.replace(".", "/")
