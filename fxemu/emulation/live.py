"""Play a trained emulation live through an audio interface."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch

from fxemu.audio.device import Array, DeviceError, playing
from fxemu.audio.polyphase import Polyphase, round_trip
from fxemu.emulation import Emulation
from fxemu.emulation.keys import TurnByKeys, keys_pressed
from fxemu.emulation.mix import Mix, finite

BLOCK_SIZES = (16, 8192)
# Blocks of silence processed before the start, so that all code is compiled and in the cache.
WARM_UP_BLOCKS = 50
# Time between checks that the interface still runs.
POLL_S = 0.25


class LiveProcessor:
    """Processes dry blocks in real time, and counts the late ones.

    Args:
        emulation: the model.
        mix: gains, and share of wet.
        block_samples: samples in a block.
        rate: of the interface in Hz; None for the model's, at which nothing is resampled.
        turn: the model's knobs, where they are turned; None for its defaults.

    Its output is `latency` samples late.
    """

    def __init__(
        self,
        emulation: Emulation,
        mix: Mix,
        block_samples: int,
        rate: int | None = None,
        turn: TurnByKeys | None = None,
    ) -> None:
        self.mix, self.turn = mix, turn
        self.stream = emulation.stream() if turn is None else emulation.turnable_stream(turn.start)
        self.rate, model_rate = rate or emulation.sample_rate, emulation.sample_rate
        self.latency = round_trip(self.rate, model_rate, emulation.latency)
        self.budget_s = block_samples / self.rate
        self._rates = model_rate, emulation.latency
        start = self.stream.state()
        self._rewind()
        for _ in range(WARM_UP_BLOCKS):
            self._wet(np.zeros(block_samples, np.float32))
        self.stream.restore(start)
        self._rewind()
        self.blocks = self.late = self.xruns = 0
        self.slowest_s = 0.0

    def __call__(self, dry: Array, lost: bool) -> Array:
        """The output for dry (samples,), of which NaN counts as 0; `lost` tells that samples were lost before it."""
        start = time.perf_counter()
        dry = finite(dry)
        # A model of another runtime may overflow: silence is better for loudspeakers.
        wet = finite(self._wet(self.mix.model_input(dry)))
        # Dry that is mixed in is as late as wet.
        seen = np.concatenate((self._dry, dry))
        self._dry = seen[dry.size :]
        output = self.mix.output(seen[: dry.size], wet)
        spent = time.perf_counter() - start
        self.blocks += 1
        self.xruns += lost
        self.late += spent > self.budget_s
        self.slowest_s = max(self.slowest_s, spent)
        return output

    def _rewind(self) -> None:
        """To silence, all but the stream."""
        model_rate, latency = self._rates
        self._to_model, self._from_model = Polyphase(self.rate, model_rate), Polyphase(model_rate, self.rate, latency)
        self._dry = self._made = np.zeros(self.latency, np.float32)

    def _wet(self, dry: Array) -> Array:
        """As many wet samples as dry ones."""
        at_model = torch.from_numpy(self._to_model.process(dry))
        knobs = None if self.turn is None else self.turn(self.stream.points(at_model.numel()))
        wet = self.stream.process(at_model, knobs=knobs).numpy()
        made = np.concatenate((self._made, self._from_model.process(wet)))
        self._made = made[dry.size :]
        return made[: dry.size]

    def __str__(self) -> str:
        slowest, budget = 1e3 * self.slowest_s, 1e3 * self.budget_s
        counts = (
            f"{self.blocks} blocks, {self.late} late (slowest {slowest:.2f} of {budget:.2f} ms), {self.xruns} xruns"
        )
        return counts if self.turn is None else f"{counts}; {self.turn}"


@contextmanager
def without_pauses() -> Iterator[None]:
    """Turn off garbage collection and PyTorch's threads, either of which may take longer than a block."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        torch.set_num_threads(threads)


def play_live(
    emulation: Emulation,
    mix: Mix,
    block_samples: int,
    device: str | None,
    seconds: float,
    rate: int | None = None,
    turn: TurnByKeys | None = None,
) -> LiveProcessor:
    """Play for `seconds`, or until Ctrl-C; the processor that is returned has the counts. Arguments as it has them.

    Raises:
        DeviceError: if there is no interface, it refuses, or it stops by itself.
    """
    with without_pauses():
        processor = LiveProcessor(emulation, mix, block_samples, rate, turn)
        with (
            playing(processor, processor.rate, block_samples, device) as stream,
            nullcontext(_no_keys) if turn is None else keys_pressed() as keys,
        ):
            block_ms, latency_ms = 1e3 * processor.budget_s, [1e3 * part for part in stream.latency]
            latency_ms.append(1e3 * processor.latency / processor.rate)
            own = f"adds {latency_ms[-1]:.1f}" if processor.latency else "adds none"
            print(
                f"{processor.rate} Hz, blocks of {block_samples} samples ({block_ms:.2f} ms), "
                f"latency {sum(latency_ms):.1f} ms ({latency_ms[0]:.1f} in, {latency_ms[1]:.1f} out; the model {own}); "
                + ("" if turn is None else f"{turn.help()}; ")
                + "Ctrl-C stops"
            )
            _wait(stream, processor, seconds, keys)
    return processor


def _no_keys(seconds: float) -> str:
    """Wait as `keys_pressed` does, without a keyboard."""
    time.sleep(seconds)
    return ""


def _wait(stream: Any, processor: LiveProcessor, seconds: float, keys: Callable[[float], str]) -> None:
    """Show the counts and turn the knobs until time is up, Ctrl-C, or DeviceError where the interface has stopped."""
    end = time.monotonic() + seconds
    try:
        while (left := end - time.monotonic()) > 0:
            pressed = keys(min(POLL_S, left))
            if processor.turn is not None:
                processor.turn.press(pressed)
            if not stream.active:
                raise DeviceError("the audio interface stopped; is it still connected?")
            if sys.stdout.isatty():
                # To the end of the line, which may have been longer.
                print(f"\r{processor}\033[K", end="", flush=True)
    except KeyboardInterrupt:
        pass
    finally:
        if sys.stdout.isatty():
            print()
