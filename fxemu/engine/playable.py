"""The protocol of a model that the engines can run: a trained closed loop, or a model of another runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fxemu.engine.plan import Plan


class Playable(Protocol):
    """A predictor as the engines see it: its plan, and how much history it needs."""

    @property
    def warm_up(self) -> int:
        """Samples of history before the first that counts."""

    @property
    def periodic(self) -> bool:
        """Whether it has an oscillator."""

    @property
    def knobs(self) -> Sequence[object]:
        """The knobs that are an input of its plan."""

    def plan(self) -> Plan:
        """One step, from dry x[t] and wet y[t-1] to wet y[t]."""
