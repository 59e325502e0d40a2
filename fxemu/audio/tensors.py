"""Audio files as torch tensors: decode, normalise and write them."""

from __future__ import annotations

import logging
import os

import torch
from torch import Tensor

from fxemu.audio import encoding
from fxemu.audio.decoding import opened, read
from fxemu.files import printable


def decode(path: str | os.PathLike[str], sample_rate: int | None = None) -> tuple[Tensor, int]:
    """Decode a file's first audio stream, mixed to mono by the mean of its channels.

    Of a file that is cut off or damaged, the part that can be decoded, with a warning in the log.

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


def rate_and_channels(path: str | os.PathLike[str]) -> tuple[int, int]:
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
    with encoding.writing(path, sample_rate, "mono") as write:
        write(samples.detach().cpu().float().numpy()[None])


def encode_flac(samples: Tensor, sample_rate: int) -> bytes:
    """Mono samples (samples,), clipped to +-1, as a 16-bit FLAC file."""
    return encoding.encode_flac(samples.numpy(), sample_rate)
