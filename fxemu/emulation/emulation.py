"""A trained emulation as a function of audio, and as a stream."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fxemu.audio.source import RATES_HZ
from fxemu.emulation.channel import Channel, Feedback
from fxemu.emulation.locate import read_model
from fxemu.emulation.mix import finite
from fxemu.emulation.turning import Setting, Turn
from fxemu.engine.oversampling import LATENCY
from fxemu.engine.playable import Playable
from fxemu.engine.streaming.stream import Stream
from fxemu.models.files import DESCRIPTION
from fxemu.models.knobs import positions
from fxemu.models.oversampled import oversampled
from fxemu.runtimes import reading

Audio = TypeVar("Audio", Tensor, NDArray[np.float32])


class Emulation:
    """A model as a function: `emulation(dry, sample_rate)` is wet, free-running from rest.

    Args:
        loop: the model: a trained predictor with its representations, or one of another runtime.
        sample_rate: the model's, in Hz.
        oversample: 2, 4 or 8 to play at so many times that rate inside, against aliasing; 1 for none.

    Its streams are `latency` samples late; a call takes that out. `knobs` are those of the model, with their ranges.
    """

    def __init__(self, loop: Playable, sample_rate: int, oversample: int = 1) -> None:
        self.turnable, self.knobs = loop, loop.knobs
        self.sample_rate, self.oversample = sample_rate, oversample
        # What plays while no knob moves.
        self.loop = oversampled(loop.at(None) if self.knobs else loop, oversample)
        self.latency = LATENCY if oversample > 1 else 0

    def __call__(self, dry: Audio, sample_rate: int, **settings: Setting) -> Audio:
        """Wet, float32, of the type and shape of dry: an array or a tensor, (samples,) or (channels, samples).

        Channels are processed separately. Audio at another rate than the model's is resampled to it and back. A sample
        that is NaN or infinite counts as 0.

        Knobs are set by name, `drive_db=30`, or move in straight lines, `drive_db=[(0, 10), (5, 40)]` (second, value).

        Raises:
            KnobError: for a knob that there is not, or a value out of its range.
            ValueError: for another shape, or a rate out of range.
        """
        low, high = RATES_HZ
        if not low <= sample_rate <= high:
            raise ValueError(f"sample_rate: got {sample_rate}; must be from {low} to {high} Hz")
        samples = np.asarray(dry.detach().cpu() if isinstance(dry, Tensor) else dry, np.float32)
        if samples.ndim not in (1, 2):
            raise ValueError(f"dry: got shape {samples.shape}; must be (samples,) or (channels, samples)")
        wet = np.empty_like(samples)
        for row, target in zip(np.atleast_2d(finite(samples)), np.atleast_2d(wet), strict=True):
            channel = self.channel(sample_rate, settings)
            target[:] = np.concatenate([channel.process(row), channel.end()])
        return torch.from_numpy(wet) if isinstance(dry, Tensor) else wet

    def at(self, settings: Mapping[str, float]) -> Emulation:
        """The same model with its knobs at these settings, without knobs; KnobError for those that cannot be."""
        position = positions(self.knobs, settings)
        if not self.knobs:
            return self
        return Emulation(self.turnable.at(position), self.sample_rate, self.oversample)

    def channel(
        self,
        rate: int,
        settings: Mapping[str, Setting] | None = None,
        state: dict[str, Tensor] | None = None,
        feedback: Feedback | None = None,
    ) -> Channel:
        """A new channel, of a song at a rate in Hz.

        Args:
            rate: of the song.
            settings: of its knobs.
            state: to start from, of a stream with the same settings; None to begin at rest.
            feedback: the source of its feedback; None for its own output.
        """
        turn = Turn(self.knobs, settings or {}, self.sample_rate)
        still = self.knobs and turn.still
        loop = oversampled(self.turnable.at(turn.start) if still else self.turnable, self.oversample)
        # What is fed back instead of the output continues silence that was fed back, too.
        past = (None, None) if feedback is None else torch.zeros(2, loop.warm_up)
        stream = Stream(loop, *past, knobs=None if turn.still else turn.start)
        if state is not None:
            stream.restore(state)
        return Channel(stream, self.sample_rate, rate, feedback, self.latency, None if turn.still else turn)

    def stream(self, dry: Tensor | None = None, wet: Tensor | None = None) -> Stream:
        """A new stream at the model's rate: `process(block)`, `state()` and `restore(state)`.

        Args:
            dry, wet: true samples (H,) that prime it, H at least `loop.warm_up`; None to begin at rest.

        Raises:
            ValueError: for wet with oversampling: between the samples there is no truth.
        """
        if wet is not None and self.oversample > 1:
            raise ValueError("wet: an oversampled model cannot be primed")
        return Stream(self.loop, dry, wet)

    def turnable_stream(self, knobs: Tensor) -> Stream:
        """A new stream of a model with K knobs, at rest, whose `process` takes where they are turned to.

        Args:
            knobs: their positions (K,) at the start, -1 to 1.
        """
        return Stream(oversampled(self.turnable, self.oversample), knobs=knobs)


def load(path: str | os.PathLike[str], oversample: int = 1) -> Emulation:
    """Load the emulation in a run folder, in a file exported from one, or in a file of another runtime.

    Args:
        path: where it is.
        oversample: as for `Emulation`.

    No code in the files is run: of formats that are programs, the model that is packed into them is loaded.

    Raises:
        OversamplingError: for another factor, or a model with an oscillator.
        models.files.WeightsError: if it holds no model of fxemu, or is damaged.
        reading.ForeignError: for a file of another runtime that is damaged or cannot be played.
    """
    path = Path(path)
    if path.suffix.lower() in reading.SUFFIXES and path.name != DESCRIPTION and path.is_file():
        model = reading.read(path)
        return Emulation(model, model.sample_rate, oversample)
    return Emulation(*read_model(path), oversample)
