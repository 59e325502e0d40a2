"""Reference effects: one file a family, all with the protocol of `base.Effect`."""

from fxemu.effects.base import Effect, EffectError
from fxemu.effects.command import Command
from fxemu.effects.distortion import Distortion, Tanh
from fxemu.effects.filters import Lowpass
from fxemu.effects.modulation import RingModulator, Tremolo
from fxemu.effects.passthrough import Passthrough
from fxemu.effects.plugin import Plugin
from fxemu.effects.python import Python
from fxemu.effects.recorded import Recorded

__all__ = [
    "Command", "Distortion", "Effect", "EffectError", "Lowpass", "Passthrough", "Plugin", "Python", "Recorded",
    "RingModulator", "Tanh", "Tremolo",
]  # fmt: skip
