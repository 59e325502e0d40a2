"""Render songs of any length, format and sample rate through a trained emulation, block by block."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from fxemu.audio.channels import Array, in_channels, separate
from fxemu.audio.decoding import PIPE, opened
from fxemu.audio.encoding import writing
from fxemu.audio.resampling import Resampler
from fxemu.audio.source import AudioError, AudioSource
from fxemu.audio.tensors import decode
from fxemu.emulation import Emulation
from fxemu.emulation.channel import Channel, Feedback
from fxemu.emulation.mix import Mix, finite
from fxemu.emulation.turning import Setting
from fxemu.engine.streaming.stream import Stream
from fxemu.errors import UserError
from fxemu.files import printable

# The sine that may be fed back in place of the model's output.
SINE_HZ, SINE_PEAK = 440.0, 0.5
# The part of a recording that primes a model: its end.
PRIME_S = 60


class RenderError(UserError):
    """A request that cannot be rendered; the message says why."""


@dataclass(frozen=True)
class Renderer:
    """An emulation with its gains, initial state and feedback.

    Args:
        emulation: the model.
        mix: gains, and share of wet.
        initial_state: of each channel; None to begin at rest.
        feedback: makes the source of each channel's feedback; None for the model's own output.
        settings: of the model's knobs.
    """

    emulation: Emulation
    mix: Mix
    initial_state: dict[str, Tensor] | None = None
    feedback: Callable[[], Feedback] | None = None
    settings: Mapping[str, Setting] = field(default_factory=dict)

    def channel(self, rate: int) -> Channel:
        """A new channel, of a song at a rate in Hz."""
        return self.emulation.channel(rate, self.settings, self.initial_state, self.feedback and self.feedback())

    def render(self, source: AudioSource) -> Iterator[Array]:
        """The output for a song, in blocks (channels, samples), in all as many samples as the song has."""
        channels, dry = [self.channel(source.rate) for _ in range(source.channels)], None
        with ThreadPoolExecutor(min(source.channels, os.cpu_count() or 1)) as pool:
            for _, block in source.blocks(mix=separate):
                block = _finite_dry(source, block)
                dry = block if dry is None else np.concatenate((dry, block), axis=1)
                wet = _checked_wet(source, pool.map(Channel.process, channels, self.mix.model_input(block)))
                yield self.mix.output(dry[:, : wet.shape[1]], wet)
                dry = dry[:, wet.shape[1] :]
            yield self.mix.output(dry, _checked_wet(source, pool.map(Channel.end, channels)))


def _finite_dry(source: AudioSource, block: Array) -> Array:
    """A block in the song's channels: where their number changes, all hold the mean. NaN and infinity count as 0.

    Then the song's damage says so.
    """
    block = in_channels(block, source.channels)
    if not np.isfinite(block).all():
        source.damage = source.damage or "holds samples that are NaN or infinite, which count as 0"
    return finite(block)


def _checked_wet(source: AudioSource, channels: Iterable[Array]) -> Array:
    """Wet (channels, samples); AudioError if it overflowed, as only a model of another runtime can."""
    wet = np.stack(list(channels))
    if not np.isfinite(wet).all():
        raise AudioError(f"{source.name}: the model makes samples of it that are NaN or infinite")
    return wet


def render_file(renderer: Renderer, path: str, target: str) -> None:
    """Render one song into one file, with a line about it on stderr."""
    with (
        opened(path) as source,
        writing(target, source.rate, source.stream.layout.name) as write,
        # On a terminal alone.
        tqdm(total=round(source.claimed_s) or None, unit=" s", disable=None, leave=False) as progress,
    ):
        start, samples, peak = time.perf_counter(), 0, 0.0
        for block in renderer.render(source):
            write(block)
            samples += block.shape[1]
            peak = max(peak, float(np.abs(block).max(initial=0.0)))
            progress.update(samples // source.rate - progress.n)
        seconds, spent = samples / source.rate, time.perf_counter() - start
        summary = f"{seconds:.1f} s, {source.channels} channel(s), {seconds / spent:.0f}x real time"
        summary += f", peak {20 * math.log10(max(peak, 1e-9)):+.1f} dBFS"
        if peak > 1 and target.lower().endswith(".flac"):
            summary += ", cut off at 0: lower --output-gain-db, or write a WAV"
        if source.damage:
            summary += f"; {source.name}: {source.damage}; the rest of it was used"
    print(f"{'stdout' if target == PIPE else printable(target)}: {summary}", file=sys.stderr)


class BlockReader:
    """Reads any number of samples at a time from blocks of any size, and silence after the last."""

    def __init__(self, blocks: Iterator[Array]) -> None:
        self.blocks, self.rest = blocks, np.zeros(0, np.float32)

    def __call__(self, samples: int) -> Tensor:
        parts, have = [self.rest], self.rest.size
        while have < samples and (block := next(self.blocks, None)) is not None:
            parts.append(block)
            have += block.size
        joined = np.concatenate(parts)
        self.rest = joined[samples:]
        return torch.from_numpy(np.pad(joined[:samples], (0, max(0, samples - have))))


def feedback_sources(kind: str, rate: int) -> Callable[[], Feedback]:
    """A maker of sources of feedback at a rate in Hz: silence, a sine, or a file mixed to mono, then silence.

    Args:
        kind: "silence", "sine" or the path of a file.
        rate: in Hz.

    Raises:
        AudioError: for a file that cannot be read.
    """
    if kind == "silence":
        return lambda: BlockReader(iter(()))
    if kind == "sine":
        return lambda: BlockReader(_sine(rate))
    with opened(kind):
        return lambda: BlockReader(_blocks(kind, rate))


def _sine(rate: int) -> Iterator[Array]:
    """An endless sine of 440 Hz at -6 dBFS."""
    # One second, since it holds a whole number of cycles.
    second = SINE_PEAK * np.sin(2 * np.pi * SINE_HZ * np.arange(rate) / rate)
    while True:
        yield second.astype(np.float32)


def _blocks(path: str, rate: int) -> Iterator[Array]:
    """A file mixed to mono, at a rate in Hz, block by block."""
    with opened(path) as source:
        resampler = Resampler(source.rate, rate)
        for _, mono in source.blocks():
            yield resampler.process(mono)
        yield resampler.end()


def primed_state(emulation: Emulation, dry: str, wet: str) -> dict[str, Tensor]:
    """The state of a stream that was teacher forced with recordings of dry and wet, mixed to mono, up to their end.

    Raises:
        RenderError: if they are not of the same length.
    """
    pair = [decode(path, emulation.sample_rate)[0] for path in (dry, wet)]
    if pair[0].numel() != pair[1].numel():
        sizes = " and ".join(str(samples.numel()) for samples in pair)
        raise RenderError(f"--prime: got {sizes} samples; dry and wet must be of the same length")
    stream: Stream = emulation.stream(*torch.zeros(2, emulation.loop.warm_up))
    stream.process(*(samples[-PRIME_S * emulation.sample_rate :] for samples in pair))
    return stream.state()
