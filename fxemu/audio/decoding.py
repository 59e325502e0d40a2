"""Decode audio files with PyAV, whole or from the middle. Without torch, so that a worker process starts fast."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import av
import numpy as np

from fxemu.audio.channels import Array
from fxemu.audio.mpeg_tags import FRAMED, Frames, frames, header_covers
from fxemu.audio.resampling import Resampler
from fxemu.audio.source import WARM_UP_S, AudioError, AudioSource, ffmpeg_message
from fxemu.audio.stated_end import lacks_last_page, stated_s
from fxemu.files import printable

SUFFIXES = (".aac", ".flac", ".m4a", ".mp3", ".mp4", ".ogg", ".wav")
# With those that FFmpeg reads as well, also for the sound of videos.
READ_SUFFIXES = (
    *SUFFIXES, ".3gp", ".ac3", ".aif", ".aifc", ".aiff", ".amr", ".ape", ".au", ".avi", ".bwf", ".caf", ".dff", ".dsf",
    ".dts", ".eac3", ".flv", ".m4b", ".m4p", ".m4r", ".m4v", ".mka", ".mkv", ".mov", ".mp1", ".mp2", ".mpc", ".mpeg",
    ".mpg", ".mpga", ".oga", ".ogv", ".opus", ".ra", ".rf64", ".rm", ".shn", ".snd", ".spx", ".tak", ".tta", ".voc",
    ".w64", ".wave", ".webm", ".wma", ".wmv", ".wv",
)  # fmt: skip
# Files of music that it does not read: protected books, scores, and the modules of trackers.
OTHER_SUFFIXES = (".aa", ".aax", ".aaxc", ".it", ".kar", ".mid", ".midi", ".mod", ".s3m", ".xm")
# Formats without a header for the whole of a file, beside MPEG audio.
BARE = ("ac3", "amr", "dts", "eac3")
# The name that stands for stdin or stdout.
PIPE = "-"


def reason(path: str | os.PathLike[str], error: AudioError) -> str:
    """The message of an error about a file, without the file's name at its start."""
    return str(error).removeprefix(f"{printable(path)}: ")


@dataclass(frozen=True)
class Decoded:
    """Mono float32 samples (samples,) as stored, not normalised; their rate in Hz; the damage in the file, if any."""

    samples: Array
    rate: int
    damage: str | None = None


def read(
    path: str | os.PathLike[str], sample_rate: int | None = None, start_s: int = 0, seconds: int | None = None
) -> Decoded:
    """Decode a stretch of a file's first audio stream to mono, sample for sample as in a decode of the whole.

    Of a damaged file, the part that can be decoded. Times are whole seconds, which are whole samples at every rate.

    Args:
        path: any file FFmpeg reads; of a video, its sound.
        sample_rate: in Hz; None keeps the file's own.
        start_s: first second of the stretch; little before it is decoded.
        seconds: length of the stretch; None to the end.

    Raises:
        AudioError: for a file that is missing, unreadable or without sound, or with NaN or infinity in the stretch.
    """
    first_s = max(0, start_s - WARM_UP_S)
    native, rate, damage = _stretch(path, first_s, None if seconds is None else start_s + seconds)
    if not np.isfinite(native).all():
        raise AudioError(f"{printable(path)}: holds samples that are NaN or infinite")
    target = sample_rate or rate
    skip = (start_s - first_s) * target
    samples = _resampled(native, rate, target)[skip:]
    return Decoded(samples if seconds is None else samples[: seconds * target], target, damage)


def _stretch(path: str | os.PathLike[str], first_s: int, last_s: int | None) -> tuple[Array, int, str | None]:
    """Samples at the file's own rate from `first_s` to a little after `last_s`, that rate in Hz, and the damage."""
    # By seeking, or where that fails or lands too late, from the beginning.
    for seek in (True, False) if first_s else (False,):
        with opened(path) as source:
            first = first_s * source.rate
            last = None if last_s is None else last_s * source.rate + source.rate // 10
            chunks = []
            for position, mono in source.blocks(first if seek else 0):
                if position > first and not chunks and seek:
                    break
                if position + mono.size > first:
                    chunks.append(mono[max(0, first - position) :])
                if last is not None and position + mono.size >= last:
                    break
            if chunks or not seek:
                samples = np.concatenate(chunks) if chunks else np.zeros(0, np.float32)
                return samples[: None if last is None else last - first], source.rate, source.damage
    raise AssertionError("the last pass always returns")


def _resampled(mono: Array, rate: int, target: int) -> Array:
    resampler = Resampler(rate, target)
    return np.concatenate([resampler.process(mono), resampler.end()])


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[AudioSource]:
    """Open a file's first audio stream ("-" is WAV on stdin), with FFmpeg's errors raised as AudioError."""
    piped = os.fspath(path) == PIPE
    name = "stdin (WAV)" if piped else printable(path)
    try:
        if not piped and os.path.getsize(path) == 0:
            raise AudioError(f"{name}: cannot be decoded (the file is empty)")
        # Absolute, since FFmpeg takes a relative name with a colon for a protocol.
        place, kind = ("pipe:0", "wav") if piped else (os.path.abspath(path), None)
        with av.open(place, format=kind, metadata_errors="replace") as container:
            if not container.streams.audio:
                raise AudioError(f"{name}: has no audio stream")
            if container.streams.audio[0].codec_context is None:
                raise AudioError(f"{name}: av {av.__version__} lacks its decoder: pip install --force-reinstall av")
            form, metadata = container.format.name, dict(container.metadata)
            if form not in FRAMED:
                source = AudioSource(container, name, metadata, form not in BARE)
                if not piped:
                    source.header_s, source.lacks_end = stated_s(place, container), lacks_last_page(place, form)
                yield source
                return
        with open(place, "rb") as file:
            start, end = frames(file)
            states_duration = header_covers(file, start, end)
            with av.open(Frames(file, start, end), format=form, metadata_errors="replace") as container:
                yield AudioSource(container, name, metadata, states_duration)
    except (av.FFmpegError, OSError, ValueError, MemoryError) as error:
        if isinstance(error, AudioError):
            raise
        raise AudioError(f"{name}: cannot be decoded ({ffmpeg_message(error)})") from error
