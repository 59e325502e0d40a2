"""The partition of a plan: values computed before the feedback loop, for all samples at once, and inside it.

What does not depend on a state may be computed before the loop. It is not where that costs more than it saves: where
few inputs make many numbers, all of which would have to be stored.
"""

from __future__ import annotations

from functools import cached_property

from fxemu.engine.plan import DRY, Layer, Mix, Part, Plan, State, Term

# Inputs up to which a term over the present sample is left in the loop.
SMALL = 4


class Partition:
    """A plan's values in two groups.

    Args:
        plan: what is computed.
        sequential: whether everything is computed inside the loop, sample by sample, which is faster for a few samples.
    """

    def __init__(self, plan: Plan, sequential: bool = False) -> None:
        self.plan, self.sequential = plan, sequential
        self.control = plan.control
        self.early = {DRY} | self.control if sequential else plan.feedforward() - self._cheap()
        """The values computed before the loop."""
        self.looping = [v for v, step in plan.values() if v not in self.early and not isinstance(step, State | Part)]
        """The values computed inside it, in order."""

    def driving_terms(self, value: int) -> list[Term]:
        """The terms of a looping layer that are computed before the loop."""
        if self.sequential:
            return []
        return [term for term in self.plan.step(value).terms if term.source in self.early and not self._small(term)]

    def looping_terms(self, value: int) -> list[Term]:
        """The other terms of a looping layer."""
        driving = self.driving_terms(value)
        return [term for term in self.plan.step(value).terms if term not in driving]

    @cached_property
    def boundary(self) -> set[int]:
        """The values computed before the loop that the loop reads, or that are the output."""
        read = {source for value in self.looping for source in self.plan.step(value).spans()}
        return (read | {self.plan.last, self.plan.params}) & self.early

    @cached_property
    def tapped(self) -> dict[int, int]:
        """The looping values whose past is read, each with how many samples of it."""
        past = self.plan.histories()
        return {value: past[value] for value in self.looping if past[value]}

    def _small(self, term: Term) -> bool:
        """Whether a term costs less than storing its result for all samples would."""
        return term.span == 0 and self.plan.width(term.source) <= SMALL

    def _cheap(self) -> set[int]:
        """The feed-forward layers whose terms are all small, and that only mixes inside the loop read."""
        known, plan = self.plan.feedforward(), self.plan
        read, read_otherwise = set(), {plan.last, plan.params, *plan.sources.values()}
        for value, step in plan.values():
            in_the_loop = value not in known and isinstance(step, Mix)
            (read if in_the_loop else read_otherwise).update(step.spans())
        layers = {v for v in (read & known) - read_otherwise - self.control if isinstance(plan.step(v), Layer)}
        return {value for value in layers if all(map(self._small, plan.step(value).terms))}
