"""Reference effects: one file a family, all with the protocol of `base.Effect`."""

from fxemu.effects.base import Effect, EffectError
from fxemu.effects.distortion import Distortion, Tanh
from fxemu.effects.filters import Lowpass
from fxemu.effects.modulation import RingModulator, Tremolo
from fxemu.effects.passthrough import Passthrough

__all__ = ["Distortion", "Effect", "EffectError", "Lowpass", "Passthrough", "RingModulator", "Tanh", "Tremolo"]
