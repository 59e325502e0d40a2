"""Decoded frames as arrays: channels apart or their mean, float32 at full scale 1."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

Array = NDArray[np.float32]


def mono(frame: av.AudioFrame) -> Array:
    """The mean of a frame's channels, float32 (samples,), full scale at 1."""
    data = _stored(frame)
    if data.shape[0] == 1 and data.dtype == np.float32:
        return data[0]
    return _full_scale(data.mean(axis=0, dtype=np.float32 if data.dtype != np.float64 else np.float64), data.dtype)


def separate(frame: av.AudioFrame) -> Array:
    """A frame's channels, float32 (channels, samples), full scale at 1."""
    data = _stored(frame)
    return _full_scale(data, data.dtype)


def in_channels(block: Array, channels: int) -> Array:
    """A block (any, samples) as (channels, samples): of another number of channels, the mean of them is in all."""
    return block if len(block) == channels else np.tile(block.mean(axis=0, keepdims=True), (channels, 1))


def _stored(frame: av.AudioFrame) -> NDArray[Any]:
    """Samples as they are stored, (channels, samples)."""
    if frame.format.is_planar and frame.layout.nb_channels >= 8:
        # PyAV counts one plane too many there, and reads beyond them.
        (frame,) = AudioResampler(format=frame.format.packed).resample(frame)
    data = frame.to_ndarray()
    return data if frame.format.is_planar else data.reshape(frame.samples, -1).T


def _full_scale(samples: NDArray[Any], stored: np.dtype[Any]) -> Array:
    """Samples from a file of type `stored` as float32, full scale at 1."""
    if stored == np.uint8:
        samples, scale = samples.astype(np.float32) - 128, 1 / 128
    else:
        scale = 1 / -float(np.iinfo(stored).min) if stored.kind == "i" else 1
    return (samples * scale).astype(np.float32, copy=False)
