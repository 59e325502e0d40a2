"""`fxemu render RUN IN OUT`: songs through a trained emulation, of any length, format and sample rate."""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fxemu.audio import decode
from fxemu.channel import Channel, Feedback
from fxemu.decoding import PIPE, Array, AudioError, Source, opened, printable, separate
from fxemu.emulation import Emulation, load
from fxemu.engine.stream import Stream
from fxemu.foreign import ForeignError
from fxemu.library import LibraryError, list_audio_files
from fxemu.packed import WeightsError
from fxemu.resampling import Resampler
from fxemu.sound import Sound, SoundError, add_options
from fxemu.writing import writing

SINE_HZ, SINE_PEAK = 440.0, 0.5
# Of a recording to prime with, the last so many seconds are heard.
PRIME_S = 60


class RenderError(ValueError):
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
    sound: Sound
    primed: dict[str, Tensor] | None = None
    feedback: Callable[[], Feedback] | None = None

    def channel(self, rate: int) -> Channel:
        """A new channel of a song at a rate in Hz."""
        stream = self.emulation.stream()
        if self.primed is not None:
            stream.restore(self.primed)
        return Channel(stream, self.emulation.sample_rate, rate, self.feedback and self.feedback())

    def play(self, source: Source) -> Iterator[Array]:
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


def _check(source: Source, block: Array) -> None:
    if block.shape[0] != source.channels:
        raise AudioError(f"{source.name}: cannot be decoded (the number of channels changes)")
    if not np.isfinite(block).all():
        raise AudioError(f"{source.name}: holds samples that are NaN or infinite")


def _usable(source: Source, wets: list[Array]) -> Array:
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


def songs_and_targets(source: str, target: str) -> list[tuple[str, str]]:
    """What is to be rendered into what: one file, or all songs of a folder into the same places of another.

    Raises:
        RenderError: for a song that would be written over itself, or onto a terminal.
    """
    if target == PIPE and sys.stdout.isatty():
        raise RenderError("stdout is a terminal: put a pipe or a file behind it")
    if source == PIPE or not os.path.isdir(source):
        pairs = [(source, target)]
    else:
        if target == PIPE or os.path.isfile(target):
            raise RenderError(f"{printable(target)}: must be a folder, as {printable(source)} is one")
        names = [os.path.relpath(path, source) for path in list_audio_files(source)]
        pairs = [(os.path.join(source, name), os.path.join(target, _wav(name))) for name in names]
    for song, result in pairs:
        if os.path.exists(result) and os.path.exists(song) and os.path.samefile(song, result):
            raise RenderError(f"{printable(result)}: is the input itself; give another name")
    if not pairs:
        raise RenderError(f"{printable(source)}: holds no song")
    twice = [result for result, count in Counter(result for _, result in pairs).items() if count > 1]
    if twice:
        raise RenderError(
            f"{printable(twice[0])}: two songs of {printable(source)} would be rendered into it; rename one"
        )
    return pairs


def _wav(name: str) -> str:
    """A song's name with .wav put after it if need be, so that a.mp3 and a.flac do not meet."""
    return name if Path(name).suffix.lower() == ".wav" else f"{name}.wav"


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


def main(arguments: list[str]) -> None:
    """Render what the arguments say; errors of the user's are one line each."""
    parser = argparse.ArgumentParser("fxemu render", description=__doc__)
    parser.add_argument("run", help="a run folder, a checkpoint, an exported file or a .nam file")
    parser.add_argument("input", metavar="in", help="a song, a folder of songs, or - for WAV on stdin")
    parser.add_argument("output", metavar="out", help="a .wav or .flac, a folder, or - for WAV on stdout")
    add_options(parser)
    parser.add_argument("--prime", nargs=2, metavar=("DRY", "WET"), help="true recordings to go on from, not silence")
    parser.add_argument(
        "--feedback", metavar="silence|sine|FILE", help="let it hear this instead of its own past: an effect of its own"
    )
    given = parser.parse_args(arguments)
    # A block is too small a piece of work to share.
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        failed = _render(given)
    except (AudioError, LibraryError, RenderError, SoundError, WeightsError, ForeignError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted: the song that was being rendered is left out", file=sys.stderr)
        sys.exit(130)
    sys.exit(int(failed))


def _render(given: argparse.Namespace) -> bool:
    """Render all; whether some song of a folder could not be."""
    sound = Sound(given.mix, given.input_gain_db, given.output_gain_db)
    pairs = songs_and_targets(given.input, given.output)
    emulation = load(given.run)
    if given.feedback and not emulation.loop.plan().feedback:
        raise RenderError("--feedback: this model hears no feedback (such as one trained with model.feedback=false)")
    player = Player(
        emulation,
        sound,
        primed(emulation, *given.prime) if given.prime else None,
        feedback(given.feedback, emulation.sample_rate) if given.feedback else None,
    )
    failed = False
    for song, target in pairs:
        try:
            render_file(player, song, target)
        except AudioError as error:
            if len(pairs) == 1:
                raise
            print(f"error: {error}", file=sys.stderr)
            failed = True
    return failed
