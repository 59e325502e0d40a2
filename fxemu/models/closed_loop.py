"""A predictor between its representations, with its feedback: its plan, and teacher forcing.

Shapes: B batch, T samples, H samples of history (the warm-up).
"""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

from fxemu.engine.allocator import keep_freed_memory
from fxemu.engine.lockstep.lanes import compiled
from fxemu.engine.lockstep.rollout import forced
from fxemu.engine.plan import DRY, WET, Activation, Plan, Product
from fxemu.models.base import Predictor
from fxemu.representations import Raw
from fxemu.representations.base import Representation

keep_freed_memory()


class ClosedLoop(nn.Module):
    """A predictor between its two representations, with the feedback of its output.

    Args:
        predictor: predicts parameters of the next wet sample from features.
        input_repr: makes features of dry and of fed-back wet samples.
        output_repr: makes the next wet sample of the predicted parameters.

    `limit` (a buffer, set from the training data) bounds the wet signal, and so the feedback: +-1.2 times the wet peak.
    """

    limit: Tensor

    def __init__(self, predictor: Predictor, input_repr: Representation, output_repr: Representation) -> None:
        super().__init__()
        self.plain_samples = isinstance(input_repr, Raw) and isinstance(output_repr, Raw)
        if predictor.plain_samples and not self.plain_samples:
            name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(predictor).__name__).lower()
            raise ValueError(f"model={name} takes and makes plain samples: use it with repr=raw, on both sides")
        self.predictor, self.input_repr, self.output_repr = predictor, input_repr, output_repr
        self.register_buffer("limit", torch.tensor(1.2))

    @property
    def warm_up(self) -> int:
        """Samples of true history (H) before the first prediction that counts."""
        return self.predictor.receptive_field - 1

    @property
    def periodic(self) -> bool:
        """Whether the predictor has an oscillator."""
        return self.predictor.periodic

    def plan(self) -> Plan:
        """One step from dry x[t] and wet y[t-1] to wet y[t], representations and `limit` included."""
        plan = Plan()
        dry = self.input_repr.plan_encode(plan, DRY)
        wet = self.input_repr.plan_encode(plan, WET) if self.predictor.feedback else WET
        plan.params = self.predictor.plan(plan, dry, wet)
        sample = self.output_repr.plan_decode(plan, plan.params)
        plan.close(WET, plan.mix(Product((sample,)), activation=Activation("clamp", float(self.limit))))
        return plan

    def teacher_forced(self, dry: Tensor, wet: Tensor) -> tuple[Tensor, Tensor]:
        """dry, wet (B, 1, H + T) to predictions (B, 1, T), H being `warm_up`, each from the true past.

        Not limited, so that the gradient never stops. The second tensor is the parameters (B, P, T) behind them.
        Where the predictor has no fast `forward`, the compiled loops compute the same.
        """
        slow = self.predictor.slow_forward or not self.predictor.vectorised
        if slow and compiled(dry.device):
            params = forced(self.plan(), dry, wet)[..., self.warm_up :]
        else:
            params = self.predictor(self.input_repr.encode(dry), self.input_repr.encode(wet))
        return self.output_repr.decode(params), params
