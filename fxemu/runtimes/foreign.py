"""A model of another runtime as a plan, and how its file is read.

A file is untrusted: it is plain JSON of bounded size, its numbers must be finite, and their shapes must fit each other.
Shapes: U units, W width of a value.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fxemu.audio.source import RATES_HZ
from fxemu.engine.plan import IDENTITY, SIGMOID, TANH, WET, Activation, Plan, Product, Term
from fxemu.errors import UserError, check_range
from fxemu.files import parse_json, printable, read_at_most

LARGEST_BYTES = 100_000_000
LARGEST_SIZE = 1 << 20  # of any number in a configuration, and of what a model looks back to, in samples
DEFAULT_RATE_HZ = 48_000
PLAIN = {
    "identity": IDENTITY,
    "tanh": TANH,
    "fasttanh": TANH,
    "hardtanh": Activation("clamp", 1.0),
    "relu": Activation("relu"),
    "sigmoid": SIGMOID,
    "softsign": Activation("softsign"),
}


class ForeignError(UserError):
    """A file that is no model of another runtime, or none that can be played; the message names it and says why."""


@dataclass(frozen=True)
class Foreign:
    """A model of another runtime, to be played as one of ours is.

    Args:
        steps: its plan.
        sample_rate: in Hz.
    """

    steps: Plan
    sample_rate: int
    periodic = False
    knobs = ()

    @property
    def warm_up(self) -> int:
        """Samples that its windows look back to."""
        return self.steps.reach()

    def plan(self) -> Plan:
        return self.steps


def checked_model(plan: Plan, sample_rate: Any) -> Foreign:
    """The model whose output is the last value of a plan; ValueError for a rate or a memory that is out of range."""
    if not plan.steps:
        raise ValueError("it has no layers")
    rate, reach = whole_number(sample_rate or DEFAULT_RATE_HZ, "sample_rate"), plan.reach()
    check_range("sample_rate", rate, *RATES_HZ, "Hz")
    if plan.width(plan.last) != 1:
        raise ValueError(f"it has {plan.width(plan.last)} outputs; can play those with one")
    if reach > LARGEST_SIZE:
        raise ValueError(f"it looks back to {reach} samples; at most {LARGEST_SIZE} can be played")
    plan.params = plan.last
    plan.close(WET, plan.last)
    return Foreign(plan, rate)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file, in which null counts as absent; OSError or ValueError if it holds none."""
    data = parse_json(read_at_most(path, LARGEST_BYTES))
    if not isinstance(data, dict):
        raise ValueError("it is no JSON object")
    return _without_null(data)


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_null(each) for key, each in value.items() if each is not None}
    # Not within lists of numbers, which are long.
    return [_without_null(each) for each in value] if isinstance(value, list) and _holds_objects(value) else value


def _holds_objects(values: list[Any]) -> bool:
    return any(isinstance(each, dict) for each in values)


def layer(plan: Plan, *terms: Term, bias: Tensor | None = None, activation: str = "identity") -> int:
    """Append activation(bias + terms); return the number of its value. ValueError for an activation not known."""
    if activation in PLAIN:
        return plan.add(*terms, bias=bias, activation=PLAIN[activation])
    return activated(plan, plan.add(*terms, bias=bias), activation)


def activated(plan: Plan, x: int, activation: str) -> int:
    """Append an activation of a value; return the number of its value. ValueError for one not known."""
    if activation in PLAIN:
        return plan.mix(Product((x,)), activation=PLAIN[activation])

    def of(scale: float, kind: str, parameter: float = 0.0) -> int:
        return plan.mix(Product((x,), scale), activation=Activation(kind, parameter))

    if activation == "leakyrelu":
        return plan.mix(Product((x,), 0.01), Product((of(1.0, "relu"),), 0.99))
    if activation == "silu":
        return plan.mix(Product((x, of(1.0, "sigmoid"))))
    if activation == "hardswish":
        # x clamp((x + 3) / 6, 0, 1)
        return plan.mix(Product((x, of(1 / 3, "clamp", 1.0)), 0.5), Product((x,), 0.5))
    known = ", ".join([*PLAIN, "leakyrelu", "silu", "hardswish"])
    raise ValueError(f"activation {printable(activation)[:40]!r}; can play {known}")


def tensor(values: Any, *shape: int | None) -> Tensor:
    """Nested lists of numbers as a tensor; ValueError unless they are finite and of this shape (None: any size)."""
    try:
        result = torch.tensor(values, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError("weights that are no numbers, or rows of them of unequal length") from error
    if len(shape) != result.ndim or any(s not in (None, n) for s, n in zip(shape, result.shape, strict=True)):
        wanted = " x ".join("any" if s is None else str(s) for s in shape)
        raise ValueError(f"weights of shape {' x '.join(map(str, result.shape))} where {wanted} belong")
    if not result.numel() or not torch.isfinite(result).all():
        raise ValueError("weights that are not finite numbers")
    return result


def whole_number(value: Any, name: str) -> int:
    """`value` as an int; ValueError unless it is a whole number from 1 to LARGEST_SIZE."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise ValueError(f"{name}: got {printable(str(value))[:40]!r}; must be a whole number")
    check_range(name, value, 1, LARGEST_SIZE)
    return int(value)
