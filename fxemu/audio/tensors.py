"""Songs as tensors: decoding, normalising and writing audio files. PyAV brings FFmpeg in its wheel."""

from __future__ import annotations

import io
import logging
import os

import av
import numpy as np
import torch
from torch import Tensor

from fxemu.audio.decoding import SUFFIXES, AudioError, opened, read
from fxemu.audio.encoding import writing
from fxemu.files import printable

__all__ = ["SUFFIXES", "AudioError", "decode", "peak_normalize", "printable", "write_wav"]


def decode(path: str | os.PathLike[str], sample_rate: int | None = None) -> tuple[Tensor, int]:
    """The first audio stream of a file, mixed to mono by the mean of its channels.

    Of a file that is cut off or damaged, what can be decoded, with a warning in the log.

    Args:
        path: any file FFmpeg reads; of a video, its sound.
        sample_rate: in Hz; None keeps the file's own.

    Returns:
        float32 samples (samples,) as stored, not normalised, and their rate in Hz.

    Raises:
        AudioError: for a file that is missing, unreadable, without sound, or with NaN or infinity in it.
    """
    decoded = read(path, sample_rate)
    if decoded.damage:
        logging.getLogger(__name__).warning("%s: %s; the rest of it is used", printable(path), decoded.damage)
    return torch.from_numpy(decoded.samples), decoded.rate


def layout(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Sample rate in Hz and number of channels of a file's first audio stream; AudioError as for `decode`."""
    with opened(path) as source:
        return source.rate, source.channels


def peak_normalize(samples: Tensor) -> Tensor:
    """Scale to a peak of exactly 1; ValueError for silence, which has no peak."""
    peak = samples.abs().max() if samples.numel() else torch.tensor(0.0)
    if peak == 0:
        raise ValueError("silent: every sample is zero")
    return samples / peak


def amplify(dry: Tensor, gain_db: float) -> Tensor:
    """`dry` times a gain in dB."""
    return dry * 10 ** (gain_db / 20)


def write_wav(path: str | os.PathLike[str], samples: Tensor, sample_rate: int) -> None:
    """Write mono float32 samples (samples,) as a 32-bit float WAV, under a temporary name and then renamed."""
    with writing(path, sample_rate, "mono") as write:
        write(samples.detach().cpu().float().numpy()[None])


def encode_flac(samples: Tensor, sample_rate: int) -> bytes:
    """Mono samples (samples,), cut off at +-1, as a 16-bit FLAC file, which every browser plays."""
    data = (samples.clamp(-1, 1) * 32767).round().to(torch.int16).numpy()[None]
    memory = io.BytesIO()
    with av.open(memory, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=sample_rate, layout="mono", format="s16")
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(data), format="s16", layout="mono")
        frame.sample_rate = sample_rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return memory.getvalue()
