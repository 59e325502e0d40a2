"""Knobs joined to dynamics: they move rates, loop, threshold, steepness of the curve, and makeup.

The moves are linear in features of the knobs: their positions, and how near they stand to CENTRES settings of the
training songs. Between settings the moves so interpolate, and far from all of them only the positions count. They are
fitted with the chain, with a prior (`fits/conditioned_dynamics.py`), since recordings show few settings.
Shapes: B batch, K knobs, F features of them.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from fxemu.engine.plan import DECAY, SIGMOID, Activation, Plan, Product, Term
from fxemu.models.fits.conditioned_dynamics import ALONE, LARGEST, MAKEUP, MOVED, SCALES, STEEPNESS, THRESHOLD

if TYPE_CHECKING:
    from fxemu.models.dynamics import Dynamics

CENTRES = 32
# Of the fit; its prior makes up for the rest.
ITERATIONS = 20
# How far a setting counts, in positions, and how much the positions themselves do.
REACH, EVEN = 1.0, 0.5
# Where a centre is that no setting is near to.
FAR = 100.0


@dataclass(frozen=True)
class Numbers:
    """What a chain of dynamics computes with: each a number, (1,), or a value of the plan.

    Args:
        up, down: shares of the distance that four followers go in a sample.
        loop: the share of its own reduction in the input of the curve.
        makeup: the logarithm of the gain where nothing is reduced, over the highest gain.
        threshold: by how much all knees are higher; None for 0.
        steepness: the factor of all bends, over `LARGEST`; None for a factor of 1.
    """

    up: Sequence[Tensor | int]
    down: Sequence[Tensor | int]
    loop: Tensor | int
    makeup: Tensor | int
    threshold: int | None = None
    steepness: int | None = None

    def of(self, follower: int) -> tuple[Tensor | int, Tensor | int]:
        """Its rates up and down."""
        return self.up[follower], self.down[follower]


class ConditionedDynamics(nn.Module):
    """What K knobs move of `Dynamics`; as `Conditioning`.

    Args:
        predictor: that they turn.
        knobs: K.
        channels, with_gain: as of `Conditioning`; not used.
    """

    moves: nn.Parameter
    centres: Tensor

    def __init__(self, predictor: Dynamics, knobs: int, channels: int, with_gain: bool = True) -> None:
        super().__init__()
        self.moves = nn.Parameter(torch.zeros(MOVED, knobs + CENTRES))
        self.register_buffer("centres", torch.full((CENTRES, knobs), FAR))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *more: Any) -> None:
        """Weights from before there was an envelope do not move its two rates."""
        moves = state_dict.get(f"{prefix}moves")
        if moves is not None and len(moves) == MOVED - 2:
            state_dict[f"{prefix}moves"] = torch.cat((moves.new_zeros(2, moves.shape[1]), moves))
        super()._load_from_state_dict(state_dict, prefix, *more)

    def features(self, at: Tensor) -> Tensor:
        """Features (B, F) of positions (B, K)."""
        distances = (at[:, None] - self.centres).square().sum(-1)
        return torch.cat((EVEN * at, (-distances / (2 * REACH**2)).exp()), dim=-1)

    @torch.no_grad()
    def fit(self, predictor: Dynamics, songs: Sequence[tuple[Tensor, Tensor]], at: Tensor) -> None:
        """Fit predictor and moves to songs, (dry, wet) of (samples,) each, with the knobs at positions (songs, K)."""
        settings = at.unique(dim=0)
        chosen = settings[torch.linspace(0, len(settings) - 1, min(CENTRES, len(settings))).round().long()]
        self.centres.fill_(FAR)
        self.centres[: len(chosen)] = chosen
        used = at.shape[1] + len(chosen)
        self.moves.zero_()
        self.moves[:, :used] = predictor.fit(songs, ITERATIONS, self.features(at.to(self.centres))[:, :used])

    def plan_gained(self, plan: Plan, knobs: int | Tensor, dry: int) -> int:
        """Dry has no gain."""
        return dry

    def gain_at(self, at: Tensor) -> float:
        """Dry has no gain."""
        return 1.0

    def plan(self, predictor: Dynamics, plan: Plan, knobs: int | Tensor, dry: int, wet: int) -> int:
        """Append the predictor to a plan, moved by the knobs; as `Conditioning.plan`."""
        features = None if isinstance(knobs, Tensor) else self._plan_features(plan, knobs)
        scale = torch.as_tensor(SCALES, dtype=self.moves.dtype, device=self.moves.device)[:, None]

        def value(move: int, start: Tensor, activation: Activation, unit: float = 1.0) -> int:
            weight = unit * (scale * self.moves)[move : move + 1]
            if features is None:
                nothing = Term(dry, weight.new_zeros(1, plan.width(dry), 1))
                return plan.add(nothing, bias=start + self.features(knobs) @ weight.T, activation=activation)
            even = EVEN * weight[:, : self.centres.shape[1], None]
            terms = Term(features[0], even), Term(features[1], weight[:, self.centres.shape[1] :, None])
            return plan.add(*terms, bias=start, activation=activation)

        rates = [value(i, rate[None], SIGMOID) for i, rate in enumerate(predictor.rates.flatten())]
        nothing = self.moves.new_zeros(1)
        numbers = Numbers(
            up=rates[::2],
            down=rates[1::2],
            loop=value(ALONE - 1, predictor.loop, Activation()),
            makeup=value(MAKEUP, predictor.start(), Activation(), predictor.unit),
            threshold=value(THRESHOLD, nothing, Activation()),
            steepness=value(STEEPNESS, nothing - math.log(LARGEST), DECAY),
        )
        return predictor.plan_with(plan, dry, wet, numbers)

    def _plan_features(self, plan: Plan, knobs: int) -> tuple[int, int]:
        """Append how near the knobs stand to the centres; the knobs' value, and that."""
        squares = plan.mix(Product((knobs, knobs)))
        count, width = self.centres.shape
        even = self.centres.new_full((count, width, 1), -1 / (2 * REACH**2))
        terms = Term(squares, even), Term(knobs, self.centres[..., None] / REACH**2)
        off = -self.centres.square().sum(1) / (2 * REACH**2)
        return knobs, plan.add(*terms, bias=off, activation=DECAY)

    @torch.no_grad()
    def baked(self, predictor: Dynamics, at: Tensor) -> Dynamics:
        """A copy of the predictor with the knobs at positions (K,), which are part of its numbers."""
        copied = copy.deepcopy(predictor)
        scales = torch.as_tensor(SCALES, dtype=self.moves.dtype)
        moved = scales * (self.moves @ self.features(at[None].to(self.moves))[0])
        copied.rates += moved[: ALONE - 1].view_as(copied.rates)
        copied.loop += moved[ALONE - 1]
        copied.knee += moved[THRESHOLD]
        copied.bend *= moved[STEEPNESS].clamp_max(math.log(LARGEST)).exp()
        copied.makeup += moved[MAKEUP]
        return copied
