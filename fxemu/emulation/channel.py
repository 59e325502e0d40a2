"""One channel of a song through an emulation, at the song's own sample rate, block by block."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fxemu.audio.resampling import Resampler
from fxemu.engine.streaming.stream import BLOCK, Stream

Array = NDArray[np.float32]
# What a predictor is to hear in place of its own past: the next so many samples of it, at the model's rate.
Feedback = Callable[[int], Tensor]


class Channel:
    """Dry to wet, resampled to the model's rate and back; all output is the same however the input is cut up.

    Args:
        stream: a fresh or primed stream of the model.
        model_rate: in Hz.
        rate: of the song, in Hz.
        feedback: what the predictor hears instead of its own output; None for the emulation as it was trained.
    """

    def __init__(self, stream: Stream, model_rate: int, rate: int, feedback: Feedback | None = None) -> None:
        self.stream, self.feedback = stream, feedback
        self.before, self.after = Resampler(rate, model_rate), Resampler(model_rate, rate)
        self.waiting = np.zeros(0, np.float32)
        self.given = self.made = 0

    def process(self, dry: Array) -> Array:
        """dry (samples,), float32, to the wet samples that are known by now."""
        self.given += dry.size
        return self._counted(self.after.process(self._wet(self.before.process(dry), end=False)))

    def end(self) -> Array:
        """The rest, so that there is as much wet as there was dry."""
        last = self.after.process(self._wet(self.before.end(), end=True))
        wet = np.concatenate([last, self.after.end()])
        missing = self.given - self.made
        return self._counted(np.pad(wet, (0, max(0, missing - wet.size)))[:missing])

    def _wet(self, dry: Array, end: bool) -> Array:
        """Whole blocks alone go through the model, since the size of a block decides how its sums are rounded."""
        waiting = np.concatenate([self.waiting, dry])
        ready = waiting.size if end else waiting.size // BLOCK * BLOCK
        self.waiting = waiting[ready:]
        fed = None if self.feedback is None else self.feedback(ready)
        return self.stream.process(torch.from_numpy(waiting[:ready]), fed).numpy()

    def _counted(self, wet: Array) -> Array:
        # A resampler may round up where there is no more to come.
        wet = wet[: self.given - self.made]
        self.made += wet.size
        return wet
