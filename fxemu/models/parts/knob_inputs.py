"""Knobs as further inputs of a predictor's first layer, and of nothing else: what RTNeural and AIDA-X can play.

Shapes: B batch, U units, K knobs.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from fxemu.engine.plan import Layer, Plan, Product, Step, Term
from fxemu.models.base import Predictor
from fxemu.models.parts.conditioning import SHIFT, SPEED
from fxemu.models.parts.places import append_with, bias_places, by_layer, planned


class KnobInputs(nn.Module):
    """Weights of K knobs in the first layer of a predictor; used as `Conditioning` is.

    Args:
        predictor: that they turn, which has a `first_bias`.
        knobs: K.
        channels: of its features.
        with_gain: as of `Conditioning`; not used.
    """

    def __init__(self, predictor: Predictor, knobs: int, channels: int, with_gain: bool = True) -> None:
        super().__init__()
        self.channels, self.bias = channels, predictor.first_bias
        units = predictor.get_parameter(self.bias).numel()
        self.weight = nn.Parameter(SHIFT / SPEED * torch.randn(units, knobs))

    @property
    def columns(self) -> Tensor:
        """The weights (U, K) of the knobs' positions, which are added to the bias of that name."""
        return SPEED * self.weight

    def plan(self, predictor: Predictor, plan: Plan, knobs: int | Tensor, dry: int, wet: int) -> int:
        """As `Conditioning.plan`."""
        own = planned(predictor, plan, None, dry, wet)
        places = {self.bias: bias_places(predictor, self.channels)[self.bias]}
        weights = by_layer(places, {self.bias: self.columns}, own.steps[len(plan.steps) :])
        read = set(places[self.bias].layers.tolist())

        def turn(i: int, step: Step) -> Step | int:
            if i not in read:
                return step
            if isinstance(knobs, Tensor):
                return replace(step, bias=step.bias + knobs @ weights[i].T)
            total, bias = plan.append(Layer(step.terms)), plan.add(Term(knobs, weights[i][..., None]), bias=step.bias)
            return plan.mix(Product((total,)), Product((bias,)), activation=step.activation)

        return append_with(plan, own, turn)

    def plan_gained(self, plan: Plan, knobs: int | Tensor, dry: int) -> int:
        """The number of dry's value, which has no gain."""
        return dry

    def gain_at(self, at: Tensor) -> float:
        """1, the gain on dry."""
        return 1.0

    @torch.no_grad()
    def baked(self, predictor: Predictor, at: Tensor) -> Predictor:
        """As `Conditioning.baked`."""
        copied = copy.deepcopy(predictor)
        copied.get_parameter(self.bias).add_(self.columns @ at.to(self.weight))
        return copied
