"""The protocol of predictors: features in, parameters of the next wet sample out.

Shapes: B batch, C feature channels a sample, P parameters of the next sample, T samples.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from fxemu.engine.plan import DRY, WET, Plan
from fxemu.engine.step import step_by_step


class Predictor(nn.Module, ABC):
    """Predicts the parameters of wet y[t] from dry x[..t] and wet y[..t-1], causally and with no latency.

    A predictor is its `plan`, one sample as data. `forward` (all times at once, teacher forced) must agree with it to
    1e-5; a test holds every predictor to that, and to causality by gradient. `feedback=False` makes the ordinary
    black-box model, which never looks at wet.
    """

    feedback: bool
    receptive_field: int
    """Samples, the present one included, that a prediction looks back to, in dry or in wet, whichever is more."""

    plain_samples = False
    """Whether it takes and makes samples as they are, and so needs `repr=raw`."""

    periodic = False
    """Whether it has an oscillator."""

    vectorised = False
    """Whether `forward` is written for all times at once, in place of going sample by sample through the plan."""

    takes_state = False
    """Whether `forward` takes, after wet, the hidden states before the first sample, in the order of the plan."""

    slow_forward = False
    """Whether, on a CPU, a vectorised `forward` with its gradient still takes longer than the compiled loops."""

    conditioning: type[nn.Module] | None = None
    """The class that joins knobs to it; None for the one that turns any layers (`parts/conditioning.py`)."""

    first_bias: str | None = None
    """The name of the bias of its first layer, if knobs can be inputs of that (`parts/knob_inputs.py`)."""

    last_bias: str | None = None
    """The name of the bias that is added to its parameters, if nothing else is done to them after that."""

    closed_form = False
    """Whether `fit` finds all of its weights, so that training without a step, `training=closed_form`, makes sense."""

    def forward(self, dry: Tensor, wet: Tensor) -> Tensor:
        """dry, wet (B, C, T) to params (B, P, T - receptive_field + 1), for the samples with a whole receptive field.

        The prediction for time t depends on dry[..., :t + 1] and wet[..., :t]: the shift is inside. This default goes
        sample by sample through the plan, from zero history; predictors override it where training needs speed.
        """
        plan = Plan(channels=dry.shape[1])
        params = self.plan(plan, DRY, WET)
        return step_by_step(plan, {DRY: dry, WET: F.pad(wet, (1, -1))}, params)[..., self.receptive_field - 1 :]

    def fit(self, songs: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Start from a fit in closed form to the training songs, (dry, wet) of (samples,) each.

        Called before training where the samples are plain (`repr=raw`); most predictors have nothing to do.
        """

    def of_this_version(self, weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
        """Weights, whose names begin with `prefix`, that an earlier version may have saved, as this one has them."""
        return dict(weights)

    @property
    def reads_wet(self) -> bool:
        """Whether its plan reads wet; not where the part that would has turned out to be needless."""
        return self.feedback

    @abstractmethod
    def plan(self, plan: Plan, dry: int, wet: int) -> int:
        """Append one step to `plan`, reading the features at values `dry` and `wet`; return the params' value."""
