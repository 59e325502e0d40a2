"""The protocol of effects: dry in, wet of the same length out, deterministic and without latency."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor

from fxemu.errors import EffectError
from fxemu.models.knobs import Knob


class Effect(ABC):
    """An effect: `effect(dry, sample_rate, start) -> wet`, both float32 mono (samples,).

    Attributes:
        memory_s: seconds of audio before a slice that the effect needs for the slice to come out as in the whole song
            (to -80 dB); None where it needs the whole song.
        rate_hz: of its oscillator; None if it has none.
        replayable: whether it can process any dry signal; False where its wet signals exist as recordings alone.
        knobs: that its wet signals are of; where they stand is decided by whoever calls it, or by the recording.
        tracked: arguments that may be a track of values, float64 (samples,), for a dry signal as long.
        knob_option: the argument that takes the values of its knobs by name; None where each is an argument itself.
    """

    memory_s: float | None = 0.0
    rate_hz: float | None = None
    replayable: bool = True
    knobs: tuple[Knob, ...] = ()
    tracked: tuple[str, ...] = ()
    knob_option: str | None = None

    def __call__(self, dry: Tensor, sample_rate: int = 44_100, start: int = 0) -> Tensor:
        """The wet signal for `dry`, whose first sample is number `start` of its song.

        Raises:
            EffectError: for a wet signal of another length, or with NaN or infinity in it.
        """
        if dry.numel() == 0:
            return dry.to(torch.float32)
        return checked_wet(self.process(dry, sample_rate, start), dry, type(self).__name__)

    @property
    def turnable(self) -> bool:
        """Whether it has knobs and can be run at any setting of them."""
        return self.replayable and bool(self.knobs)

    @property
    def follows(self) -> bool:
        """Whether its knobs may move: it takes a track of values for each of them."""
        return self.turnable and {knob.name for knob in self.knobs}.issubset(self.tracked)

    def at(self, position: Tensor | None) -> Effect:
        """The effect with its knobs at positions (K,), -1 to 1 (None: at their defaults); itself without knobs."""
        return self

    def identity(self) -> str | None:
        """Everything that wet depends on besides dry, as text: its key in the wet cache; None for no caching."""
        return None

    @abstractmethod
    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        """Compute wet (samples,), of any floating type; `__call__` checks and converts it."""


def checked_wet(wet: Tensor, dry: Tensor, name: str) -> Tensor:
    """`wet` as float32 if it is a wet signal for `dry`, else an EffectError that names the effect."""
    if wet.shape != dry.shape:
        raise EffectError(
            f"effect {name} returned {tuple(wet.shape)} for a dry signal of {tuple(dry.shape)}: "
            "it must return as many samples as it gets, mono"
        )
    wet = wet.to(torch.float32)
    bad = int((~torch.isfinite(wet)).sum())
    if bad:
        raise EffectError(
            f"effect {name} returned {bad} samples that are NaN or infinite, of {wet.numel()}: "
            "look at its gains and divisions, and try it on silence"
        )
    return wet


def from_array(values: object, name: str) -> Tensor:
    """The array that a user's function returned, as a tensor; EffectError, which names it, unless it holds numbers."""
    if isinstance(values, Tensor):
        values = (values.double() if values.is_floating_point() else values).detach().cpu().numpy()
    try:
        array = np.array(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise EffectError(f"{name} returned no array of samples: {error}") from error
    if array.dtype.kind != "f":
        cure = "; divide them by their full scale, such as 32768" if array.dtype.kind in "iu" else ""
        raise EffectError(
            f"{name} returned {array.dtype} values; it must return samples as floats, full scale at 1{cure}"
        )
    return torch.from_numpy(array.astype(np.float64))
