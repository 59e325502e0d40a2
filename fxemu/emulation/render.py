"""Songs through a trained emulation: of any length, format and sample rate, primed or fed something else."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fxemu.audio.decoding import PIPE, Array, AudioError, AudioSource, opened, separate
from fxemu.audio.encoding import writing
from fxemu.audio.resampling import Resampler
from fxemu.audio.tensors import decode
from fxemu.emulation import Emulation
from fxemu.emulation.channel import Channel, Feedback
from fxemu.emulation.mix import Mix
from fxemu.engine.streaming.stream import Stream
from fxemu.errors import UserError
from fxemu.files import printable

SINE_HZ, SINE_PEAK = 440.0, 0.5
# Of a recording to prime with, the last so many seconds are heard.
PRIME_S = 60


class RenderError(UserError):
    """What was asked for cannot be rendered; the message says what and why."""


@dataclass(frozen=True)
class Player:
    """An emulation with what it starts from and what it is fed.

    Args:
        emulation: the model.
        sound: gains and mix.
        primed: the state to begin each channel with; None for silence.
        feedback: makes what each channel hears instead of its own past; None for its own past.
    """

    emulation: Emulation
    sound: Mix
    primed: dict[str, Tensor] | None = None
    feedback: Callable[[], Feedback] | None = None

    def channel(self, rate: int) -> Channel:
        """A new channel of a song at a rate in Hz."""
        stream = self.emulation.stream()
        if self.primed is not None:
            stream.restore(self.primed)
        return Channel(stream, self.emulation.sample_rate, rate, self.feedback and self.feedback())

    def play(self, source: AudioSource) -> Iterator[Array]:
        """The result for a song, in blocks (channels, samples); as many samples as were read."""
        channels, dry = [self.channel(source.rate) for _ in range(source.channels)], None
        with ThreadPoolExecutor(min(source.channels, os.cpu_count() or 1)) as pool:
            for _, block in source.blocks(mix=separate):
                _check(source, block)
                dry = block if dry is None else np.concatenate((dry, block), axis=1)
                wet = _usable(source, list(pool.map(Channel.process, channels, self.sound.heard(block))))
                yield self.sound.result(dry[:, : wet.shape[1]], wet)
                dry = dry[:, wet.shape[1] :]
            yield self.sound.result(dry, _usable(source, list(pool.map(Channel.end, channels))))


def _check(source: AudioSource, block: Array) -> None:
    if block.shape[0] != source.channels:
        raise AudioError(f"{source.name}: cannot be decoded (the number of channels changes)")
    if not np.isfinite(block).all():
        raise AudioError(f"{source.name}: holds samples that are NaN or infinite")


def _usable(source: AudioSource, wets: list[Array]) -> Array:
    """Wet of all channels; AudioError if it overflowed, as only a model of another runtime does."""
    wet = np.stack(wets)
    if not np.isfinite(wet).all():
        raise AudioError(f"{source.name}: the model makes samples of it that are NaN or infinite")
    return wet


def render_file(player: Player, path: str, target: str) -> None:
    """One song into one file, with what there is to say about it on stderr."""
    with opened(path) as source, writing(target, source.rate, source.stream.layout.name) as write:
        start, samples, peak = time.perf_counter(), 0, 0.0
        for block in player.play(source):
            write(block)
            samples += block.shape[1]
            peak = max(peak, float(np.abs(block).max(initial=0.0)))
            _progress(samples / source.rate, source.claimed_s)
        seconds, spent = samples / source.rate, time.perf_counter() - start
        said = f"{seconds:.1f} s, {source.channels} channel(s), {seconds / spent:.0f}x real time"
        said += f", peak {20 * math.log10(max(peak, 1e-9)):+.1f} dBFS"
        if peak > 1 and target.lower().endswith(".flac"):
            said += ", cut off at 0: lower --output-gain-db, or write a WAV"
        if source.damage:
            said += f"; {source.name}: {source.damage}; the rest of it was used"
    print(f"{'stdout' if target == PIPE else printable(target)}: {said}", file=sys.stderr)


def _progress(seconds: float, of: float) -> None:
    """How far it is, on a line that is written over; only to a terminal."""
    if sys.stderr.isatty():
        share = f" of {of:.0f} s ({min(1, seconds / of):.0%})" if of else " s"
        print(f"\r{seconds:.0f}{share}", end="\r", file=sys.stderr, flush=True)


class Taker:
    """The next so many samples of blocks of any size, and silence after the last."""

    def __init__(self, blocks: Iterator[Array]) -> None:
        self.blocks, self.left = blocks, np.zeros(0, np.float32)

    def __call__(self, samples: int) -> Tensor:
        parts, have = [self.left], self.left.size
        while have < samples and (block := next(self.blocks, None)) is not None:
            parts.append(block)
            have += block.size
        found = np.concatenate(parts)
        self.left = found[samples:]
        return torch.from_numpy(np.pad(found[:samples], (0, max(0, samples - have))))


def feedback(kind: str, rate: int) -> Callable[[], Feedback]:
    """What to feed back at a rate in Hz: silence, a sine, or a file mixed to mono, with silence after its end.

    Raises:
        AudioError: for a file that cannot be read.
    """
    if kind == "silence":
        return lambda: Taker(iter(()))
    if kind == "sine":
        return lambda: Taker(_sine(rate))
    with opened(kind):
        return lambda: Taker(_blocks(kind, rate))


def _sine(rate: int) -> Iterator[Array]:
    """440 Hz at -6 dBFS, for ever."""
    # One second, since it holds a whole number of cycles.
    second = SINE_PEAK * np.sin(2 * np.pi * SINE_HZ * np.arange(rate) / rate)
    while True:
        yield second.astype(np.float32)


def _blocks(path: str, rate: int) -> Iterator[Array]:
    """A file mixed to mono at a rate, block by block."""
    with opened(path) as source:
        resampler = Resampler(source.rate, rate)
        for _, mono in source.blocks():
            yield resampler.process(mono)
        yield resampler.end()


def primed(emulation: Emulation, dry: str, wet: str) -> dict[str, Tensor]:
    """The state after hearing the true recordings of dry and wet, mixed to mono, up to their end.

    Raises:
        RenderError: if they are not of the same length.
    """
    pair = [decode(path, emulation.sample_rate)[0] for path in (dry, wet)]
    if pair[0].numel() != pair[1].numel():
        sizes = " and ".join(str(samples.numel()) for samples in pair)
        raise RenderError(f"--prime: got {sizes} samples; dry and wet must be of the same length")
    stream: Stream = emulation.stream()
    stream.process(*(samples[-PRIME_S * emulation.sample_rate :] for samples in pair))
    return stream.state()
