"""Sample-rate conversion of a stream, block by block, with FFmpeg's resampler."""

from __future__ import annotations

import av
import numpy as np
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

Array = NDArray[np.float32]


class Resampler:
    """Sample-rate converter for one channel, without delay; its output does not depend on how the input is cut up.

    Args:
        rate, target: in Hz; if they are the same, samples pass as they are.
    """

    def __init__(self, rate: int, target: int) -> None:
        self.rate, self.idle = rate, True
        self.resampler = None if rate == target else AudioResampler(format="fltp", layout="mono", rate=target)

    def process(self, samples: Array) -> Array:
        """Output samples that are computable after these input samples (samples,), float32."""
        if self.resampler is None or not samples.size:
            return samples
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), format="fltp", layout="mono")
        frame.sample_rate = self.rate
        self.idle = False
        return _joined(self.resampler.resample(frame))

    def end(self) -> Array:
        """The rest of the output; nothing can follow."""
        return np.zeros(0, np.float32) if self.idle else _joined(self.resampler.resample(None))


def _joined(frames: list[av.AudioFrame]) -> Array:
    return np.concatenate([frame.to_ndarray()[0] for frame in frames] or [np.zeros(0, np.float32)])
