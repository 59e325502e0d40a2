"""Errors that a user can fix: their message alone is shown, without a traceback."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Real
from typing import Any

# The sample rates that models are trained at.
SAMPLE_RATES_HZ = (8000, 192_000)


class UserError(ValueError):
    """Base of the errors that a user can fix; the message says what was got, what is allowed, and what to do."""


class ConfigError(UserError):
    """A config that cannot be used; the message names the option and its fault."""


class EffectError(UserError):
    """An effect that cannot run as asked, or whose output is not a wet signal; the message names it."""


class FitError(UserError):
    """A fit in closed form of a model that dry and wet do not suggest; the message says what they show."""


class TrainingDivergedError(UserError):
    """A training whose loss is NaN or infinite; the message says what to try."""


class Terminated(BaseException):
    """The end that another process asked for with a signal: `number` is SIGINT, SIGTERM or SIGHUP."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def check_sample_rate(name: str, value: object) -> None:
    """UserError unless `value` is a whole number of Hz from 8000 to 192000."""
    low, high = SAMPLE_RATES_HZ
    if type(value) is not int or not low <= value <= high:
        raise UserError(f"{name}: got {value!r}; must be a whole number from {low} to {high} Hz")


def check_range(name: str, value: Any, low: float, high: float, unit: str = "") -> None:
    """ValueError unless value is a number, or a tensor of them, and low <= value <= high (NaN fails too)."""
    track = hasattr(value, "aminmax")
    ends = value.aminmax() if track else (value,)
    if not (track or isinstance(value, Real)) or not all(low <= end <= high for end in ends):
        raise ValueError(f"{name}: got {value}; must be from {low:g} to {high:g} {unit}".rstrip())


def check_least(least: float, **values: float) -> None:
    """ValueError unless each of the values, by name, is at least so much (NaN fails too)."""
    for name, value in values.items():
        if not value >= least:
            raise ValueError(f"{name}: got {value}; must be at least {least:g}")


def check_choice(name: str, value: object, choices: Iterable[object]) -> None:
    """ValueError unless `value` is one of the choices."""
    if value not in list(choices):
        raise ValueError(f"{name}: got {value!r}; choose one of {', '.join(map(str, choices))}")
