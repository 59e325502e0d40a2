"""An open audio stream: its metadata, its samples block by block, and the damage found while they are decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import av
import numpy as np

from fxemu.audio.channels import Array, mono
from fxemu.audio.mpeg_tags import BesideFrames
from fxemu.errors import UserError
from fxemu.files import printable

# The lowest and the highest sample rate that is accepted.
RATES_HZ = (4000, 768_000)
# The metadata that is kept, and its longest value in characters.
TAGS, TAG_LENGTH = ("title", "artist", "album", "genre", "date", "composer"), 200
# How an MP4 marks encrypted audio.
PROTECTED = ("drms", "drmi", "enca")
# Decoded before a stretch and discarded: the resampler's filter, an MP3's bit reservoir, a transform's overlap.
WARM_UP_S = 1
# Samples in a block that is decoded.
BLOCK = 16_384
# Where a file is damaged, a frame that peaks above +6 dBFS is noise that the decoder made of it, and left out.
BURST = 2.0


class AudioError(UserError):
    """A file that cannot be used as a song; the message names it and says why."""


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

    def blocks(self, start: int = 0, mix: Callable[[av.AudioFrame], Array] = mono) -> Iterator[tuple[int, Array]]:
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
                if self.damage is not None and np.abs(mono(frame)).max(initial=0) > BURST:
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
            self.fault = ffmpeg_message(error)
            self.damage = f"damaged after {self.decoded_samples / self.rate:.1f} s ({self.fault})"


def ffmpeg_message(error: BaseException) -> str:
    """The message of an error of FFmpeg's or the system's, in a few words."""
    if isinstance(error, av.error.PatchWelcomeError):
        return "its format changes, which FFmpeg cannot follow; split it there"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _tags(metadata: dict[str, str]) -> dict[str, str]:
    """The TAGS among a file's metadata, printable; some formats write their names in capitals."""
    found = {name.lower(): printable(value)[:TAG_LENGTH] for name, value in metadata.items()}
    return {name: found[name] for name in TAGS if found.get(name)}
