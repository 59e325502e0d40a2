"""The race of `model=auto`: candidates, rounds of short trainings, and the standings that decide who trains on."""

from fxemu.training.race.run import after_race
from fxemu.training.race.standings import Race

__all__ = ["Race", "after_race"]
