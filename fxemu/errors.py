"""What a user can mend: errors whose message says what is wrong, so that no traceback is needed."""


class UserError(ValueError):
    """What was got, what is allowed, and what to do."""


class ConfigError(UserError):
    """A config that cannot be used; the message says what is wrong with which option."""


class EffectError(UserError):
    """An effect cannot run as asked, or returned something that is not a wet signal; the message names it."""


class TrainingDivergedError(UserError):
    """The loss is no longer a number; the message says what to try."""
