"""A bound on the contraction of a plan, from its weights alone: a guarantee that no measurement can give."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fxemu.engine.plan import IDENTITY, Layer, Mix, Part, Plan, State

# A slower decay is none: it takes minutes, and rounding decides which side of 1 it is on.
SLOWEST = 1 - 1e-6


@dataclass(frozen=True)
class ContractionBound:
    """Upper bound on the time in which two runs over the same dry, begun from any two pasts, come together.

    Args:
        window: samples after which all that is not in a state is the same.
        decay: the factor by which the states' difference shrinks with each sample, in the long run; 0 without states.
    """

    window: int
    decay: float

    def samples(self, ratio: float = 1e-3) -> float:
        """Samples until the difference has fallen to `ratio` of its first value."""
        return self.window + (math.log(ratio) / math.log(self.decay) if self.decay else 0.0)


def contraction_bound(plan: Plan) -> ContractionBound | None:
    """The bound of a plan; None where its weights guarantee nothing.

    They do where the output is not fed back and states are linear in themselves, with weights that do not change: such
    states follow a matrix, whose spectral radius is the decay. States may drive others in any way: a cascade of systems
    that forget forgets, as fast as the slowest (Lohmiller & Slotine 1998, "On contraction analysis for non-linear
    systems", section 3.8).
    """
    if plan.feedback:
        return None
    states = plan.hidden_states()
    seen = _states_seen(plan)
    reached = _closure({state: seen[plan.sources[state]] for state in states})
    window = sum(max(step.spans().values(), default=0) for step in plan.steps) if states else plan.reach()
    decay = 0.0
    for state in states:
        block = [other for other in states if other in reached[state] and state in reached[other]]
        if not block:
            continue
        rows = [_linear(plan, plan.sources[other], seen, set(block)) for other in block]
        if any(row is None for row in rows):
            return None
        matrix = torch.cat(
            [
                torch.cat([_part(row, plan, to, other) for other in block], 1)
                for to, row in zip(block, rows, strict=True)
            ]
        )
        decay = max(decay, float(torch.linalg.eigvals(matrix).abs().max()))
    return ContractionBound(window, decay) if decay < SLOWEST else None


def _part(row: Mapping[int, Tensor], plan: Plan, to: int, other: int) -> Tensor:
    return row.get(other, torch.zeros(plan.width(to), plan.width(other), dtype=torch.float64))


def _states_seen(plan: Plan) -> dict[int, frozenset[int]]:
    """The states that each value depends on within a sample."""
    seen: dict[int, frozenset[int]] = dict.fromkeys(range(2), frozenset())
    for value, step in plan.values():
        sources = [seen[source] for source in step.spans()]
        seen[value] = frozenset({value}) if isinstance(step, State) else frozenset().union(*sources)
    return seen


def _closure(edges: Mapping[int, frozenset[int]]) -> dict[int, frozenset[int]]:
    """For each state all that it depends on, through any number of samples."""
    reached = dict(edges)
    for _ in edges:
        reached = {state: seen.union(*(reached[other] for other in seen)) for state, seen in reached.items()}
    return reached


def _linear(plan: Plan, value: int, seen: Mapping[int, frozenset[int]], block: set[int]) -> dict[int, Tensor] | None:
    """A value as a sum of matrices (U, W) times states of the block, and terms without them; None if it is none."""
    if not seen[value] & block:
        return {}
    step = plan.step(value)
    if isinstance(step, State):
        return {value: torch.eye(step.units, dtype=torch.float64)}
    if isinstance(step, Part):
        whole = _linear(plan, step.source, seen, block)
        return None if whole is None else {s: m[step.first : step.first + step.units] for s, m in whole.items()}
    if not isinstance(step, Layer | Mix) or step.activation != IDENTITY:
        return None
    total: dict[int, Tensor] = {}
    for source, matrix in _weights(step):
        terms = _linear(plan, source, seen, block)
        if terms is None or (terms and matrix is None):
            return None
        for state, inner in terms.items():
            total[state] = total.get(state, 0) + matrix @ inner
    return total


def _weights(step: Layer | Mix) -> list[tuple[int, Tensor | None]]:
    """The values that a step adds up, with the matrix of each: None where it changes, or looks back."""
    if isinstance(step, Layer):
        return [
            (term.source, term.weight[..., 0].detach().double() if term.weight.shape[-1] == 1 else None)
            for term in step.terms
        ]
    one = [(p.factors[0], _diagonal(p.scale, step.units)) for p in step.products if len(p.factors) == 1]
    return one + [(factor, None) for p in step.products if len(p.factors) > 1 for factor in p.factors]


def _diagonal(scale: float | Tensor, units: int) -> Tensor:
    return torch.diag(torch.as_tensor(scale).detach().double().expand(units))
