"""Encode audio files with PyAV, block by block, so that no song has to fit in memory."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np

from fxemu.audio.channels import Array
from fxemu.audio.decoding import PIPE
from fxemu.audio.source import AudioError
from fxemu.files import printable, rename_synced, temporary_beside

# Suffix to container, codec and its sample format. Beyond 4 GB a WAV becomes an RF64.
KINDS = {".wav": ("wav", "pcm_f32le", "flt"), ".flac": ("flac", "flac", "s32")}
# Bits that a FLAC uses of an integer sample format, and bits of that format.
BITS = {"s16": (16, 16), "s32": (24, 32)}


@contextmanager
def writing(path: str | os.PathLike[str], sample_rate: int, layout: str) -> Iterator[Callable[[Array], None]]:
    """Open a file for writing: yields a function that appends a block (channels, samples), float32.

    The file appears under its name at the end of the context, complete.

    Args:
        path: a name that ends in .wav (32-bit float) or .flac (24 bits, cut off at +-1), or "-" for WAV on stdout.
        sample_rate: in Hz.
        layout: of the channels, as FFmpeg names it: mono, stereo, 5.1.

    Raises:
        AudioError: for another suffix, or if it cannot be written.
    """
    piped = os.fspath(path) == PIPE
    name = "stdout" if piped else printable(path)
    suffix = ".wav" if piped else Path(path).suffix.lower()
    if suffix not in KINDS:
        raise AudioError(f"{name}: cannot be written; a name that ends in {' or '.join(KINDS)} is needed")
    target = Path(path).absolute()
    temporary = temporary_beside(target)
    try:
        if piped:
            with _encoder("pipe:1", KINDS[suffix], sample_rate, layout) as write:
                yield write
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with _encoder(str(temporary), KINDS[suffix], sample_rate, layout) as write:
            yield write
        rename_synced(temporary, target)
    except (av.FFmpegError, OSError) as error:
        raise AudioError(f"{name}: cannot be written ({error.strerror or type(error).__name__})") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def _encoder(
    target: str | BinaryIO, kind: tuple[str, str, str], sample_rate: int, layout: str
) -> Iterator[Callable[[Array], None]]:
    """Open FFmpeg's encoder: yields a function that appends a block (channels, samples)."""
    muxer, codec, sample_format = kind
    # A pipe cannot be sought in, as an RF64's header needs.
    options = {"rf64": "auto"} if muxer == "wav" and target != "pipe:1" else {}
    with av.open(target, "w", format=muxer, options=options) as container:
        stream = container.add_stream(codec, rate=sample_rate, layout=layout, format=sample_format)
        written = 0

        def write(samples: Array) -> None:
            nonlocal written
            if not samples.size:
                return
            frame = av.AudioFrame.from_ndarray(_packed(samples, sample_format), sample_format, layout)
            frame.sample_rate, frame.pts = sample_rate, written
            written += samples.shape[1]
            container.mux(stream.encode(frame))

        yield write
        container.mux(stream.encode(None))


def _packed(samples: Array, sample_format: str) -> np.ndarray:
    """Samples (channels, samples), interleaved and converted to a sample format: (1, samples * channels)."""
    flat = np.ascontiguousarray(samples.T).reshape(1, -1)
    if sample_format == "flt":
        return flat
    used, bits = BITS[sample_format]
    levels = np.round(np.clip(flat, -1, 1).astype(np.float64) * (2 ** (used - 1) - 1))
    return levels.astype(f"int{bits}") << (bits - used)


def encode_flac(samples: Array, sample_rate: int) -> bytes:
    """Mono samples (samples,), clipped to +-1, as a 16-bit FLAC file, which every browser plays."""
    memory = io.BytesIO()
    with _encoder(memory, ("flac", "flac", "s16"), sample_rate, "mono") as write:
        write(samples[None])
    return memory.getvalue()
