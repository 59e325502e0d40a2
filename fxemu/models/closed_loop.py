"""A predictor between its representations, with its feedback: its plan, and teacher forcing.

Shapes: B batch, T samples, H samples of history (the warm-up).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fxemu.engine.allocator import keep_freed_memory
from fxemu.engine.control import input_signals
from fxemu.engine.feedforward import evaluate
from fxemu.engine.lockstep.lanes import compiled
from fxemu.engine.lockstep.rollout import forced, planned
from fxemu.engine.plan import DRY, WET, Activation, Knobs, Plan, Product
from fxemu.models.base import Predictor
from fxemu.models.knobs import Knob, positions
from fxemu.models.parts.conditioning import Conditioning
from fxemu.models.parts.knob_inputs import KnobInputs
from fxemu.representations.base import Representation

keep_freed_memory()

# The factor over the largest wet sample of training at which feedback is bounded: other songs have louder ones, and
# what is cut there is fed back.
HEADROOM = 2.0
# By the name of the option.
CONDITIONING = {"scales": Conditioning, "inputs": KnobInputs}


class ClosedLoop(nn.Module):
    """A predictor between its two representations, with the feedback of its output.

    Args:
        predictor: predicts parameters of the next wet sample from features.
        input_repr: makes features of dry and of fed-back wet samples.
        output_repr: makes the next wet sample of the predicted parameters.
        knobs: of the effect, which the model has too.
        conditioning: how they turn it, of `CONDITIONING`.

    Two buffers are set from the training data: `limit` bounds the wet signal, and so the feedback, to +-`wet_limit`;
    and representations and predictor see wet divided by `gain`, so that an effect's level is not theirs.
    They see dry times `dry_gain`, which is 1 but for a model whose knobs were set (`at`).
    """

    limit: Tensor
    gain: Tensor
    dry_gain: Tensor

    def __init__(
        self,
        predictor: Predictor,
        input_repr: Representation,
        output_repr: Representation,
        knobs: Sequence[Knob] = (),
        conditioning: str = "scales",
    ) -> None:
        super().__init__()
        self.plain_samples = input_repr.plain_samples and output_repr.plain_samples
        if predictor.plain_samples and not self.plain_samples:
            name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(predictor).__name__).lower()
            raise ValueError(f"model={name} takes and makes plain samples: use it with repr=raw, on both sides")
        if conditioning not in CONDITIONING:
            raise ValueError(f"conditioning: got {conditioning!r}; must be {' or '.join(CONDITIONING)}")
        if conditioning == "inputs" and not (knobs and predictor.first_bias):
            raise ValueError("conditioning=inputs: is for knobs=..., and of model=lstm, gru, mlp or convnet")
        self.predictor, self.input_repr, self.output_repr = predictor, input_repr, output_repr
        self.knobs, self.conditioning = tuple(knobs), conditioning
        sizes, kind = (len(self.knobs), input_repr.channels), predictor.conditioning or CONDITIONING[conditioning]
        self.turning = kind(predictor, *sizes, input_repr.plain_samples) if self.knobs else None
        self.register_buffer("limit", torch.tensor(1.2))
        self.register_buffer("gain", torch.tensor(1.0))
        self.register_buffer("dry_gain", torch.tensor(1.0))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *more: Any) -> None:
        """Checkpoints of earlier versions have no gains: they were 1."""
        for name in ("gain", "dry_gain"):
            state_dict.setdefault(f"{prefix}{name}", torch.tensor(1.0))
        super()._load_from_state_dict(state_dict, prefix, *more)

    @property
    def warm_up(self) -> int:
        """Samples of true history (H) before the first prediction that counts."""
        return self.predictor.receptive_field - 1

    @property
    def periodic(self) -> bool:
        """Whether the predictor has an oscillator."""
        return self.predictor.periodic

    def plan(self, positions: Tensor | None = None) -> Plan:
        """One step from dry x[t] and wet y[t-1] to wet y[t], representations and `limit` included.

        The knobs are an input of it, unless their positions in each stream of a batch are given, (B, K), -1 to 1.
        """
        plan, knobs = Plan(), positions
        if positions is not None and positions.shape[1:] != (len(self.knobs),):
            raise ValueError(f"knobs: got positions {tuple(positions.shape)}; this model has {len(self.knobs)}")
        if self.knobs and positions is None:
            knobs = plan.append(Knobs(len(self.knobs)))
        dry, dry_gain = DRY, float(self.dry_gain)
        if knobs is not None:
            dry = self.turning.plan_gained(plan, knobs, dry)
        elif dry_gain != 1:
            dry = plan.mix(Product((dry,), dry_gain))
        dry = self.input_repr.plan_encode(plan, dry)
        gain, wet = float(self.gain), WET
        if self.predictor.reads_wet:
            wet = self.input_repr.plan_encode(plan, WET if gain == 1 else plan.mix(Product((WET,), 1 / gain)))
        if knobs is None:
            plan.params = self.predictor.plan(plan, dry, wet)
        else:
            plan.params = self.turning.plan(self.predictor, plan, knobs, dry, wet)
        sample = self.output_repr.plan_decode(plan, plan.params)
        plan.close(WET, plan.mix(Product((sample,), gain), activation=Activation("clamp", float(self.limit))))
        return plan

    def encode(self, dry: Tensor) -> Tensor:
        """Dry (B, 1, T) to features (B, C, T)."""
        return self.input_repr.encode(dry if self.dry_gain == 1 else dry * self.dry_gain)

    def decode(self, params: Tensor) -> Tensor:
        """Parameters (B, P, T) to wet samples (B, 1, T), not limited."""
        return self.output_repr.decode(params) * self.gain

    def native_loss(self, params: Tensor, wet: Tensor) -> Tensor:
        """The output representation's own loss, of parameters (B, P, T) for wet (B, 1, T)."""
        return self.output_repr.native_loss(params, wet / self.gain)

    def disturb(self, wet: Tensor, noise: Tensor) -> Tensor:
        """Wet (B, 1, T) with noise (B, 1, T) added to what the predictor sees of it."""
        return self.input_repr.disturb(wet / self.gain, noise) * self.gain

    def fit(self, songs: Sequence[tuple[Tensor, Tensor]], at: Sequence[Tensor]) -> None:
        """Start from a fit in closed form to the training songs, if the predictor has one.

        Args:
            songs: (dry, wet) of (samples,) each.
            at: of a model with K knobs their positions in each song, (K,).
        """
        if not self.plain_samples:
            return
        songs = [(dry, wet / float(self.gain)) for dry, wet in songs]
        if self.knobs and self.predictor.conditioning:
            self.turning.fit(self.predictor, songs, torch.stack([*at]))
        else:
            self.predictor.fit(songs)

    def at(self, position: Tensor | None) -> ClosedLoop:
        """The same model without knobs, which stand at `position` (K,), -1 to 1, or None for their defaults."""
        if not self.knobs:
            return self
        position = positions(self.knobs, {}) if position is None else position
        baked = ClosedLoop(self.turning.baked(self.predictor, position), self.input_repr, self.output_repr)
        baked.limit.copy_(self.limit)
        baked.gain.copy_(self.gain)
        baked.dry_gain.fill_(self.turning.gain_at(position))
        return baked.train(self.training)

    def teacher_forced(self, dry: Tensor, wet: Tensor, knobs: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """dry, wet (B, 1, H + T) to predictions (B, 1, T), H being `warm_up`, each from the true past.

        A model with K knobs needs where they stand, (B, K, H + T), or (B, K, 1) throughout.

        Not limited, so that the gradient never stops. The second tensor is the parameters (B, P, T) behind them.
        Where the predictor has no fast `forward`, the compiled loops compute the same.
        """
        slow = self.predictor.slow_forward or not self.predictor.vectorised
        if self.knobs:
            params = self._forced_at(dry, wet, knobs)
        elif slow and compiled(dry.device):
            params = forced(self.plan(), dry, wet)[..., self.warm_up :]
        else:
            params = self.predictor(self.encode(dry), self.input_repr.encode(wet / self.gain))
        return self.decode(params), params

    def _forced_at(self, dry: Tensor, wet: Tensor, knobs: Tensor) -> Tensor:
        """Parameters (B, P, T) from the true past, with the knobs at (B, K, H + T), or (B, K, 1) throughout."""
        plan, knobs = planned(self, knobs)
        if plan.hidden_states():
            return forced(plan, dry, wet, knobs)[..., self.warm_up :]
        signals, samples = {**input_signals(plan, dry, knobs), WET: F.pad(wet, (1, -1))}, dry.shape[-1] - self.warm_up
        return evaluate(plan, signals, {plan.params}, samples)[plan.params][..., -samples:]


def wet_limit(peak: float) -> float:
    """The bound of the feedback of a model trained on wet that peaks there."""
    return HEADROOM * peak


def wet_gain(peak: float) -> float:
    """The power of two by which a wet signal with this peak is divided to peak from 0.55 to 1.1; 1 for silence.

    A power of two rounds nothing, and is 1 for most effects of songs at full scale.
    """
    return 2.0 ** math.ceil(math.log2(peak / 1.1)) if peak else 1.0
