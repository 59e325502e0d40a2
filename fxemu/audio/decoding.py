"""Decode audio files with PyAV, whole or from the middle. Without torch, so that a worker process starts fast."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from fxemu.audio.mpeg_tags import FRAMED, BesideFrames, Frames, frames, header_covers
from fxemu.audio.resampling import Resampler
from fxemu.audio.stated_end import lacks_last_page, stated_s
from fxemu.errors import UserError
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
# The lowest and the highest sample rate that is accepted.
RATES_HZ = (4000, 768_000)
# The metadata that is kept, and its longest value in characters.
TAGS, TAG_LENGTH = ("title", "artist", "album", "genre", "date", "composer"), 200
# How an MP4 marks encrypted audio.
PROTECTED = ("drms", "drmi", "enca")
# Formats without a header for the whole of a file, beside MPEG audio.
BARE = ("ac3", "amr", "dts", "eac3")
# The name that stands for stdin or stdout.
PIPE = "-"
# Decoded before a stretch and discarded: the resampler's filter, an MP3's bit reservoir, a transform's overlap.
WARM_UP_S = 1
# Samples in a block that is decoded.
BLOCK = 16_384
# Where a file is damaged, a frame that peaks above +6 dBFS is noise that the decoder made of it, and left out.
BURST = 2.0

Array = NDArray[np.float32]


class AudioError(UserError):
    """A file that cannot be used as a song; the message names it and says why."""


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
        raise AudioError(f"{name}: cannot be decoded ({_message(error)})") from error


def _message(error: BaseException) -> str:
    if isinstance(error, av.error.PatchWelcomeError):
        return "its format changes, which FFmpeg cannot follow; split it there"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _tags(metadata: dict[str, str]) -> dict[str, str]:
    """The TAGS among a file's metadata, printable; some formats write their names in capitals."""
    found = {name.lower(): printable(value)[:TAG_LENGTH] for name, value in metadata.items()}
    return {name: found[name] for name in TAGS if found.get(name)}


def _mono(frame: av.AudioFrame) -> Array:
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


class AudioSource:
    """An open audio stream: its rate in Hz, channels, codec and tags, and its samples block by block.

    Args:
        container: that holds it.
        name: of the file, for messages.
        metadata: of the file.
        states_duration: whether the file states its duration; FFmpeg guesses others by the bit rate.

    `damage` describes, once blocks have been read, the part that could not be decoded; None for an intact file.
    """

    def __init__(
        self, container: av.container.InputContainer, name: str, metadata: Mapping[str, str], states_duration: bool
    ) -> None:
        self.container, self.name, self.states_duration = container, name, states_duration
        self.stream = container.streams.audio[0]
        self.rate, self.channels = self.stream.rate, self.stream.channels
        self.codec: str = self.stream.codec_context.name
        self.tags = _tags({**metadata, **self.stream.metadata})
        self.damage: str | None = None
        self.fault: str | None = None
        self.decoded_samples = 0
        # What FFmpeg does not tell: a duration in s, 0 for none, and whether the end is missing.
        self.header_s, self.lacks_end = 0.0, False
        if self.stream.codec_context.codec_tag in PROTECTED:
            raise AudioError(f"{name}: is protected (DRM) and can be played by its shop's program alone")
        if not self.rate:
            raise AudioError(f"{name}: cannot be decoded (no audio is found in it)")
        if not RATES_HZ[0] <= self.rate <= RATES_HZ[1]:
            low, high = RATES_HZ
            raise AudioError(f"{name}: has a sample rate of {self.rate} Hz; {low} to {high} Hz can be used")

    def blocks(self, start: int = 0, mix: Callable[[av.AudioFrame], Array] = _mono) -> Iterator[tuple[int, Array]]:
        """(position of the first sample, mono samples) of each block, from at or before sample `start` to the end.

        Args:
            start: a sample of the song.
            mix: how a frame's channels become samples; `separate` keeps them apart, (channels, samples).

        Raises:
            AudioError: if nothing can be decoded of a stream that is read from its beginning.
        """
        sought = start > 0 and self._seek(start)
        position = None
        for frame, place in self._joined():
            if position is None:
                position = place if sought else 0
            samples = mix(frame)
            yield position, samples
            position += samples.shape[-1]
        if position is None and not sought:
            raise AudioError(f"{self.name}: cannot be decoded ({self.fault or 'it holds no samples'})")
        if not sought and position / self.rate < 0.98 * self.claimed_s - 1:
            self.damage = self.damage or f"cut off after {position / self.rate:.1f} of {self.claimed_s:.1f} s"
        elif not sought and self.lacks_end:
            self.damage = self.damage or f"cut off after {position / self.rate:.1f} s, as its last page is missing"

    @property
    def claimed_s(self) -> float:
        """The duration that the file states, in s; 0 where it states none."""
        stated = self.states_duration and self.stream.duration
        return max(self.header_s, float(self.stream.duration * self.stream.time_base) if stated else 0.0)

    def _seek(self, start: int) -> bool:
        """Seek to a little before `start`, for the decoder to warm up; False if the container cannot."""
        seconds = max(0.0, start / self.rate - WARM_UP_S / 2)
        try:
            self.container.seek(int(self._origin + seconds / self.stream.time_base), stream=self.stream)
        except av.FFmpegError:
            return False
        return True

    @property
    def _origin(self) -> int:
        return self.stream.start_time or 0

    def _place(self, frame: av.AudioFrame) -> int:
        """The position of a frame's first sample in the song; beyond any song if the file does not state it."""
        if frame.pts is None:
            return 2**62
        return round((frame.pts * frame.time_base - self._origin * self.stream.time_base) * self.rate)

    def _joined(self) -> Iterator[tuple[av.AudioFrame, int]]:
        """Frames joined to BLOCK samples in C, where a frame costs little, and the position of the first frame."""
        fifo, kind, place = av.AudioFifo(), None, None
        try:
            for frame in self._decode():
                place = self._place(frame) if place is None else place
                if kind != (frame.format.name, frame.layout.nb_channels):
                    # The queue does not check, and would read beyond the end of a frame of fewer channels.
                    if rest := fifo.read():
                        yield rest, place
                    fifo, kind = av.AudioFifo(), (frame.format.name, frame.layout.nb_channels)
                frame.pts = None
                fifo.write(frame)
                for block in fifo.read_many(BLOCK):
                    yield block, place
        except AudioError:
            raise
        except (av.FFmpegError, OSError, ValueError) as error:
            self._damaged(error)
        if rest := fifo.read():
            yield rest, place

    def _decode(self) -> Iterator[av.AudioFrame]:
        """All frames that can be decoded; AudioError if the damaged packets outnumber them."""
        good = bad = 0
        beside = BesideFrames()
        for packet in self.container.demux(self.stream):
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                if not beside.holds(bytes(packet), self.container.format.name):
                    self._damaged(error)
                    bad += 1
                continue
            if frames and beside.costs_audio():
                self._damaged(ValueError("what is there is no audio"))
            for frame in frames:
                if frame.sample_rate != self.rate:
                    raise ValueError(f"the sample rate changes to {frame.sample_rate} Hz")
                if self.damage is not None and np.abs(_mono(frame)).max(initial=0) > BURST:
                    bad += 1
                    continue
                yield frame
                self.decoded_samples += frame.samples
                good += 1
        if beside.samples_may_be_lost():
            self._damaged(ValueError("what follows is no audio"))
        if bad > good:
            raise AudioError(f"{self.name}: cannot be decoded (most of it is damaged)")

    def _damaged(self, error: Exception) -> None:
        """Describe the first fault in `damage`."""
        if self.damage is None:
            self.fault = _message(error)
            self.damage = f"damaged after {self.decoded_samples / self.rate:.1f} s ({self.fault})"
