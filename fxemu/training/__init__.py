"""One run: the parts of a config, the schedule, the LightningModule, the run folder, sweeps."""

from fxemu.training import resolvers  # noqa: F401 (for every config that is composed)
from fxemu.training.schedule import Schedule

__all__ = ["Schedule"]
