"""Dilated convolutions one after another over dry and, with feedback, wet samples: a stack without side paths."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fxemu.engine.activations import activate, hidden_activation
from fxemu.engine.plan import Plan, Term
from fxemu.errors import check_least
from fxemu.models.base import Predictor
from fxemu.models.parts.pointwise import Pointwise


class ConvNet(Predictor):
    """Layers act(dilated convolution) and a linear one: with a kernel of 2, Neural Amp Modeler's ConvNet.

    Args:
        channels: feature channels a sample (C), set by the input representation.
        params: parameters of the next sample (P), set by the output representation.
        width: units of each layer, at least 1.
        kernel: taps of each convolution, at least 2.
        dilations: of the layers, at least 1 each.
        activation: of hidden layers, by name (`engine.activations.HIDDEN`).
        feedback: False for the control that sees no wet samples.
    """

    vectorised, first_bias, last_bias = True, "layers.0.bias", "out.bias"

    def __init__(
        self,
        channels: int,
        params: int,
        width: int = 16,
        kernel: int = 2,
        dilations: Sequence[int] = (1, 2, 4, 8, 16, 32, 64, 128),
        activation: str = "tanh",
        feedback: bool = True,
    ) -> None:
        super().__init__()
        check_least(1, width=width, dilations=min(dilations, default=0))
        check_least(2, kernel=kernel)
        self.channels, self.feedback, self.activation = channels, feedback, hidden_activation(activation)
        # The fed-back samples lie one further back than the dry ones.
        self.receptive_field = 1 + (kernel - 1) * sum(dilations) + int(feedback)
        widths = [channels * (2 if feedback else 1), *[width] * len(dilations)]
        self.layers = nn.ModuleList(
            nn.Conv1d(before, width, kernel, dilation=d) for before, d in zip(widths, dilations, strict=False)
        )
        self.out = Pointwise(width, params)
        # Start quiet, and with a weak loop, so that the first free runs stay bounded.
        self.out.weight.data.mul_(0.3)
        self.layers[0].weight.data[:, channels:].mul_(0.3)

    def forward(self, dry: Tensor, wet: Tensor) -> Tensor:
        x = torch.cat((dry[..., 1:], wet[..., :-1]), dim=1) if self.feedback else dry
        for conv in self.layers:
            x = activate(conv(x), self.activation)
        return self.out(x)

    def plan(self, plan: Plan, dry: int, wet: int) -> int:
        values = [dry, wet] if self.feedback else [dry]
        for conv in self.layers:
            parts = zip(values, conv.weight.chunk(len(values), dim=1), strict=True)
            terms = [Term(value, weight, conv.dilation[0]) for value, weight in parts]
            values = [plan.add(*terms, bias=conv.bias, activation=self.activation)]
        return plan.add(Term(values[0], self.out.weight), bias=self.out.bias)
