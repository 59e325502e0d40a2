"""Errors that a user can fix: their message alone is shown, without a traceback."""

from __future__ import annotations

# The sample rates that models are trained at.
SAMPLE_RATES_HZ = (8000, 192_000)


class UserError(ValueError):
    """Base of the errors that a user can fix; the message says what was got, what is allowed, and what to do."""


class ConfigError(UserError):
    """A config that cannot be used; the message names the option and its fault."""


class EffectError(UserError):
    """An effect that cannot run as asked, or whose output is not a wet signal; the message names it."""


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
