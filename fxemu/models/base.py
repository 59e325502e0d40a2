"""What every predictor is: features in, parameters of the next wet sample out.

Shapes: B batch, C feature channels a sample, P parameters of the next sample, T samples.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fxemu.engine.plan import Plan


class Predictor(nn.Module, ABC):
    """Predicts the parameters of wet y[t] from dry x[..t] and wet y[..t-1], causally and with no latency.

    `forward` (all times at once, teacher forced) and `step` (one sample, from a state) must agree to 1e-5;
    a test holds every predictor to that, and to causality by gradient. `feedback=False` makes the ordinary
    black-box model, which never looks at wet.
    """

    feedback: bool
    receptive_field: int
    """Dry samples, the present one included, that a prediction looks back to."""

    plain_samples = False
    """Whether it takes and makes samples as they are, and so needs `repr=raw`."""

    slow_forward = False
    """Whether, on a CPU, `forward` with its gradient takes longer than the compiled loops that go sample by sample."""

    closed_form = False
    """Whether `fit` finds all of its weights, so that training without a step, `training=closed_form`, makes sense."""

    def forward(self, dry: Tensor, wet: Tensor) -> Tensor:
        """dry, wet (B, C, T) to params (B, P, T - receptive_field + 1): those with their whole past in sight.

        The prediction for time t sees dry[..., :t + 1] and wet[..., :t]: the shift is inside. As it stands here it
        goes step by step, from the initial state; predictors that can do better do.
        """
        state, params = self.initial_state(dry.shape[0]), []
        for x, y in zip(dry.unbind(-1), F.pad(wet, (1, -1)).unbind(-1), strict=True):
            given, state = self.step(x, y, state)
            params.append(given)
        return torch.stack(params[self.receptive_field - 1 :], dim=-1)

    def fit(self, songs: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Start from what can be had in closed form from the training songs, (dry, wet) of (samples,) each.

        Called before training where the samples are plain (`repr=raw`); most predictors have nothing to do.
        """

    @abstractmethod
    def initial_state(self, batch: int) -> Any:
        """The state before the first sample of `batch` streams: features of zero all the way back."""

    @abstractmethod
    def step(self, dry: Tensor, wet: Tensor, state: Any) -> tuple[Tensor, Any]:
        """dry features of x[t] (B, C), wet features of y[t-1] (B, C), state to params (B, P), next state."""

    @abstractmethod
    def plan(self, plan: Plan, dry: int, wet: int) -> int:
        """Append one step to `plan`, reading the features at values `dry` and `wet`; return the params' value."""


def before(window: nn.Conv1d, batch: int, channels: int) -> Tensor:
    """What a window over samples (B, C, taps) sees before the first of them: all but its last one, silent."""
    return window.weight.new_zeros(batch, channels, window.kernel_size[0] - 1)
