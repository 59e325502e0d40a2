"""Writing audio files block by block, so that no song has to fit in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import av
import numpy as np

from fxemu.audio.decoding import PIPE, Array, AudioError
from fxemu.files import appear, printable

# Suffix to container, codec and its sample format. Beyond 4 GB a WAV becomes an RF64.
KINDS = {".wav": ("wav", "pcm_f32le", "flt"), ".flac": ("flac", "flac", "s32")}
FLAC_BITS = 24


@contextmanager
def writing(path: str | os.PathLike[str], sample_rate: int, layout: str) -> Iterator[Callable[[Array], None]]:
    """A function that appends a block (channels, samples), float32, to a file which appears when all is written.

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
    temporary = target.with_name(f".{target.name}.part")
    try:
        if piped:
            with _encoder("pipe:1", suffix, sample_rate, layout) as write:
                yield write
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with _encoder(str(temporary), suffix, sample_rate, layout) as write:
            yield write
        appear(temporary, target)
    except (av.FFmpegError, OSError) as error:
        raise AudioError(f"{name}: cannot be written ({error.strerror or type(error).__name__})") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def _encoder(place: str, suffix: str, sample_rate: int, layout: str) -> Iterator[Callable[[Array], None]]:
    kind, codec, sample_format = KINDS[suffix]
    options = {"rf64": "auto"} if suffix == ".wav" and not place.startswith("pipe:") else {}
    with av.open(place, "w", format=kind, options=options) as container:
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
    """(channels, samples) as the (1, samples * channels) of a sample format."""
    flat = np.ascontiguousarray(samples.T).reshape(1, -1)
    if sample_format == "flt":
        return flat
    levels = np.round(np.clip(flat, -1, 1).astype(np.float64) * (2 ** (FLAC_BITS - 1) - 1)).astype(np.int32)
    return levels << (32 - FLAC_BITS)
