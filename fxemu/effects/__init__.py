"""Effects to learn, dry to wet: one file a family, each class with the protocol of `base.Effect`."""

from fxemu.effects.base import Effect, EffectError
from fxemu.effects.bitcrusher import Bitcrusher
from fxemu.effects.chain import Chain, Parallel
from fxemu.effects.chorus import Chorus, Flanger, Vibrato
from fxemu.effects.command import Command
from fxemu.effects.convolution import Convolution
from fxemu.effects.delay import Delay
from fxemu.effects.distortion import Distortion, Fuzz, Overdrive, Tanh
from fxemu.effects.dynamics import Compressor, Expander, Gate, Limiter
from fxemu.effects.filters import Bandpass, Highpass, Lowpass, ParametricEQ, ResonantLowpass
from fxemu.effects.hysteresis import Hysteresis
from fxemu.effects.modulation import RingModulator, Tremolo
from fxemu.effects.nam import Nam
from fxemu.effects.passthrough import Passthrough
from fxemu.effects.phaser import Phaser
from fxemu.effects.plugin import Plugin
from fxemu.effects.python import Python
from fxemu.effects.recorded import Recorded
from fxemu.effects.reverb import PlateReverb, RoomReverb, SpringReverb
from fxemu.effects.tube import Tube
from fxemu.effects.wah import AutoWah, Wah
from fxemu.effects.wavefolder import Wavefolder

__all__ = [
    "AutoWah",
    "Bandpass",
    "Bitcrusher",
    "Chain",
    "Chorus",
    "Command",
    "Compressor",
    "Convolution",
    "Delay",
    "Distortion",
    "Effect",
    "EffectError",
    "Expander",
    "Flanger",
    "Fuzz",
    "Gate",
    "Highpass",
    "Hysteresis",
    "Limiter",
    "Lowpass",
    "Nam",
    "Overdrive",
    "Parallel",
    "ParametricEQ",
    "Passthrough",
    "Phaser",
    "PlateReverb",
    "Plugin",
    "Python",
    "Recorded",
    "ResonantLowpass",
    "RingModulator",
    "RoomReverb",
    "SpringReverb",
    "Tanh",
    "Tremolo",
    "Tube",
    "Vibrato",
    "Wah",
    "Wavefolder",
]
