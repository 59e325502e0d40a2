"""Stream one channel of a song through a model, at the song's own sample rate."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fxemu.audio.polyphase import Polyphase, round_trip
from fxemu.engine.streaming.stream import BLOCK, Stream

Array = NDArray[np.float32]
# From a number of samples to the next so many, at the model's rate, that are fed back in place of its own output.
Feedback = Callable[[int], Tensor]
# The same for the positions of its knobs at the points in these samples, (K, points).
Knobs = Callable[[int], Tensor]


class Channel:
    """Dry to wet, resampled to the model's rate and back; the output does not depend on how the input is cut up.

    Args:
        stream: a fresh or primed stream of the model.
        model_rate: in Hz.
        rate: of the song, in Hz.
        feedback: the source of the samples that are fed back; None for the model's own output.
        latency: of the stream, in its samples; it is taken out.
        knobs: the source of the positions of knobs that move; None where none does.
    """

    def __init__(
        self,
        stream: Stream,
        model_rate: int,
        rate: int,
        feedback: Feedback | None = None,
        latency: int = 0,
        knobs: Knobs | None = None,
    ) -> None:
        self.stream, self.feedback, self.knobs = stream, feedback, knobs
        self.to_model, self.from_model = Polyphase(rate, model_rate), Polyphase(model_rate, rate, latency)
        self.lag = round_trip(rate, model_rate, latency)
        self.pending = np.zeros(0, np.float32)
        self.dry_samples = self.wet_samples = 0

    def process(self, dry: Array) -> Array:
        """Wet samples that are computable after these dry samples (samples,), float32."""
        self.dry_samples += dry.size
        return self._wet(dry, end=False)

    def end(self) -> Array:
        """The rest of the wet samples: in all as many as there were dry ones."""
        return self._wet(np.zeros(self.lag, np.float32), end=True)

    def _wet(self, dry: Array, end: bool) -> Array:
        wet = self.from_model.process(self._run(self.to_model.process(dry), end))
        # The last ones are of the silence after the song.
        wet = wet[: self.dry_samples - self.wet_samples]
        self.wet_samples += wet.size
        return wet

    def _run(self, dry: Array, end: bool) -> Array:
        """Run the model on whole blocks only, since the size of a block decides how its sums are rounded."""
        pending = np.concatenate([self.pending, dry])
        ready = pending.size if end else pending.size // BLOCK * BLOCK
        self.pending = pending[ready:]
        fed = None if self.feedback is None else self.feedback(ready)
        knobs = None if self.knobs is None else self.knobs(ready)
        return self.stream.process(torch.from_numpy(pending[:ready]), fed, knobs).numpy()
