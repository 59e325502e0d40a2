"""A multilayer perceptron over a window of dry and a window of fed-back wet samples."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fxemu.engine.activations import activate, hidden_activation
from fxemu.engine.plan import Plan, Term
from fxemu.errors import check_least, check_range
from fxemu.models.base import Predictor
from fxemu.models.parts.pointwise import Pointwise


class MLP(Predictor):
    """`layers` hidden layers of `width` units over x[t-m+1..t] and y[t-n..t-1], and a linear path from dry.

    The first layer is a convolution over time and the others are 1x1 convolutions, so that teacher forcing over a
    whole segment never copies its windows out.

    Args:
        channels: feature channels a sample (C), set by the input representation.
        params: parameters of the next sample (P), set by the output representation.
        context_window: m, dry samples seen, the present one included; at least 1.
        feedback_window: n, wet samples seen; None for m - 1; at most m - 1 unless m is 1.
        layers: hidden layers, at least 1.
        width: units in each.
        activation: of hidden layers, by name (`engine.activations.HIDDEN`).
        dry_skip: taps of the linear path from dry to the output (0: none; 1: the present sample alone; at most m).
        embedding: units of a layer that each sample passes through before the windows, the same for all of them, so
            that a companded or coded sample can be undone before it is filtered (0: none).
        feedback: False for the control that sees no wet samples.
    """

    vectorised, first_bias, last_bias = True, "dry.bias", "out.bias"

    def __init__(
        self,
        channels: int,
        params: int,
        context_window: int = 256,
        feedback_window: int | None = 32,
        layers: int = 2,
        width: int = 40,
        activation: str = "tanh",
        dry_skip: int = 1,
        embedding: int = 0,
        feedback: bool = True,
    ) -> None:
        super().__init__()
        wet_taps = context_window - 1 if feedback_window is None else feedback_window
        _check(context_window, wet_taps, layers, width, dry_skip)
        self.feedback = feedback and wet_taps > 0
        self.receptive_field = max(context_window, wet_taps + 1)
        self.channels = channels
        self.activation = hidden_activation(activation)
        self.embed = Pointwise(channels, embedding) if embedding else None
        seen = embedding or channels
        self.dry = nn.Conv1d(seen, width, context_window)
        self.wet = nn.Conv1d(seen, width, wet_taps, bias=False) if self.feedback else None
        self.hidden = nn.ModuleList(Pointwise(width, width) for _ in range(layers - 1))
        self.out = Pointwise(width, params)
        self.skip = nn.Conv1d(channels, params, dry_skip, bias=False) if dry_skip else None
        self._quieten_feedback()

    def _quieten_feedback(self) -> None:
        """Start with a weak loop, so that the first free runs stay bounded."""
        with torch.no_grad():
            if self.wet is not None:
                self.wet.weight.mul_(0.3)

    def forward(self, dry: Tensor, wet: Tensor) -> Tensor:
        samples = dry.shape[-1] - self.receptive_field + 1
        x = _last_outputs(self.dry, self._embedded(dry), samples)
        if self.wet is not None:
            x = x + _last_outputs(self.wet, self._embedded(wet[..., :-1]), samples)
        x = activate(x, self.activation)
        for layer in self.hidden:
            x = activate(layer(x), self.activation)
        x = self.out(x)
        return x if self.skip is None else x + _last_outputs(self.skip, dry, samples)

    def _embedded(self, features: Tensor) -> Tensor:
        return features if self.embed is None else activate(self.embed(features), self.activation)

    def plan(self, plan: Plan, dry: int, wet: int) -> int:
        terms = [Term(self._plan_embedded(plan, dry), self.dry.weight)]
        if self.wet is not None:
            terms.append(Term(self._plan_embedded(plan, wet), self.wet.weight))
        x = plan.add(*terms, bias=self.dry.bias, activation=self.activation)
        for layer in self.hidden:
            x = plan.add(Term(x, layer.weight), bias=layer.bias, activation=self.activation)
        terms = [Term(x, self.out.weight)]
        if self.skip is not None:
            terms.append(Term(dry, self.skip.weight))
        return plan.add(*terms, bias=self.out.bias)

    def _plan_embedded(self, plan: Plan, features: int) -> int:
        if self.embed is None:
            return features
        return plan.add(Term(features, self.embed.weight), bias=self.embed.bias, activation=self.activation)


def _last_outputs(conv: nn.Conv1d, x: Tensor, samples: int) -> Tensor:
    """The last `samples` outputs of `conv` over x (B, C, T): (B, units, samples)."""
    return conv(x[..., x.shape[-1] - samples - conv.kernel_size[0] + 1 :])


def _check(context_window: int, wet_taps: int, layers: int, width: int, dry_skip: int) -> None:
    check_least(1, context_window=context_window, layers=layers, width=width)
    check_range("dry_skip", dry_skip, 0, context_window)
    if not 0 <= wet_taps <= max(1, context_window - 1):
        raise ValueError(
            f"feedback_window: got {wet_taps}; must be from 0 to context_window - 1 ({context_window - 1}), "
            "or at most 1 where that is 0"
        )
