"""Errors that a user can fix: their message alone is shown, without a traceback."""


class UserError(ValueError):
    """Base of the errors that a user can fix; the message says what was got, what is allowed, and what to do."""


class ConfigError(UserError):
    """A config that cannot be used; the message names the option and its fault."""


class EffectError(UserError):
    """An effect that cannot run as asked, or whose output is not a wet signal; the message names it."""


class TrainingDivergedError(UserError):
    """A training whose loss is NaN or infinite; the message says what to try."""
