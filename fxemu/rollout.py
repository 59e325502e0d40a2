"""Evaluating any predictor, teacher forced or free running: the readable reference for the fast engines.

Shapes: B batch, T samples, H samples of history (the warm-up), K samples of free run.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from fxemu.freed_memory import keep_freed_memory
from fxemu.models.base import Predictor
from fxemu.plan import DRY, WET, Activation, Plan, Product
from fxemu.representations import Raw
from fxemu.representations.base import Representation

keep_freed_memory()


class ClosedLoop(nn.Module):
    """A predictor between its two representations, with the wire that feeds its output back.

    Args:
        predictor: predicts parameters of the next wet sample from features.
        input_repr: makes features of dry and of fed-back wet samples.
        output_repr: makes the next wet sample of the predicted parameters.

    `limit` (a buffer, set from the training data) bounds what is fed back and heard: +-1.2 times the wet peak.
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
        """
        params = self.predictor(self.input_repr.encode(dry), self.input_repr.encode(wet))
        return self.output_repr.decode(params), params


def feedback_gain(loop: ClosedLoop, dry: Tensor, wet: Tensor, noise: Tensor) -> Tensor:
    """How strongly a prediction answers to its history: the norm of d y[t] / d y[..t-1], in the mean, a scalar.

    Estimated by white noise (unit variance) on the wet samples, both (B, 1, H + T), put 60 dB below their root mean
    square; differentiable.
    Below 1 in the sum of absolute values an error dies away; this is the root of the sum of squares, which is less.
    """
    scale = 1e-3 * wet.square().mean().sqrt().clamp_min(1e-4)
    change = loop.teacher_forced(dry, wet + scale * noise.to(wet.device))[0] - loop.teacher_forced(dry, wet)[0]
    return (change.square().mean() + 1e-20).sqrt() / scale


def free_run(loop: ClosedLoop, dry: Tensor, history: Tensor | None = None) -> Tensor:
    """Let the predictor hear only itself, one sample at a time, with gradient through all of it.

    Args:
        loop: the predictor and its representations.
        dry: (B, 1, H + K).
        history: true wet samples (B, 1, H) that prime the run; None for silence, dry and wet, before a song.

    Returns:
        the prediction (B, 1, K), within +-limit. What a recurrent predictor remembers of the history is taken as
        given: no gradient flows through it.
    """
    if history is None:
        history = dry.new_zeros(dry.shape[0], 1, loop.warm_up)
        dry = torch.cat((history, dry), dim=-1)
    state, previous, predicted = loop.predictor.initial_state(dry.shape[0]), torch.zeros_like(dry[..., 0]), []
    recurrent = bool(loop.plan().hidden_states())
    for t in range(dry.shape[-1]):
        if t == history.shape[-1] and recurrent:
            state = tree_map(torch.Tensor.detach, state)
        features = loop.input_repr.encode(torch.stack((dry[..., t], previous), dim=-1))
        params, state = loop.predictor.step(features[..., 0], features[..., 1], state)
        if t < history.shape[-1]:
            previous = history[..., t]
            continue
        previous = loop.output_repr.decode(params[..., None])[..., 0].clamp(-loop.limit, loop.limit)
        predicted.append(previous)
    return torch.stack(predicted, dim=-1)
