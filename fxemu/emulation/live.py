"""Playing through a trained emulation with an audio interface."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from fxemu.audio.device import Array, DeviceError, playing
from fxemu.emulation import Emulation
from fxemu.emulation.mix import Mix

BLOCK_SIZES = (16, 8192)
# Blocks of silence before the start, for everything to be compiled and in the cache.
REHEARSED = 50
# How often to look whether the interface still plays, in s.
LOOK_S = 0.25


class Performer:
    """What makes wet of each dry block, and keeps count.

    Args:
        emulation: the model.
        sound: gains and mix.
        block_samples: samples in a block.
    """

    def __init__(self, emulation: Emulation, sound: Mix, block_samples: int) -> None:
        self.sound, self.stream = sound, emulation.stream()
        self.budget_s = block_samples / emulation.sample_rate
        start = self.stream.state()
        for _ in range(REHEARSED):
            self.stream.process(torch.zeros(block_samples))
        self.stream.restore(start)
        self.blocks = self.late = self.xruns = 0
        self.slowest_s = 0.0

    def __call__(self, dry: Array, lost: bool) -> Array:
        """dry (samples,) to the result; `lost` says that samples were lost before it."""
        start = time.perf_counter()
        wet = self.stream.process(torch.from_numpy(self.sound.heard(dry))).numpy()
        # A model of another runtime may overflow: silence is better for loudspeakers.
        wet = wet if np.isfinite(wet).all() else np.zeros_like(wet)
        result = self.sound.result(dry, wet)
        spent = time.perf_counter() - start
        self.blocks += 1
        self.xruns += lost
        self.late += spent > self.budget_s
        self.slowest_s = max(self.slowest_s, spent)
        return result

    def __str__(self) -> str:
        slowest, budget = 1e3 * self.slowest_s, 1e3 * self.budget_s
        return f"{self.blocks} blocks, {self.late} late (slowest {slowest:.2f} of {budget:.2f} ms), {self.xruns} xruns"


@contextmanager
def undisturbed() -> Iterator[None]:
    """No garbage collection and no threads of PyTorch's, either of which may take longer than a block."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        torch.set_num_threads(threads)


def perform(emulation: Emulation, sound: Mix, block_samples: int, device: str | None, seconds: float) -> Performer:
    """Play for so many seconds, or until Ctrl-C; the performer that did it has the counts.

    Raises:
        DeviceError: if there is no interface, it refuses, or it stops by itself.
    """
    rate = emulation.sample_rate
    with undisturbed():
        performer = Performer(emulation, sound, block_samples)
        with playing(performer, rate, block_samples, device) as stream:
            block_ms, latency_ms = 1e3 * performer.budget_s, [1e3 * part for part in stream.latency]
            print(
                f"{rate} Hz, blocks of {block_samples} samples ({block_ms:.2f} ms), latency {sum(latency_ms):.1f} ms "
                f"({latency_ms[0]:.1f} in, {latency_ms[1]:.1f} out; the model adds none); Ctrl-C stops"
            )
            _wait(stream, performer, seconds)
    return performer


def _wait(stream: object, performer: Performer, seconds: float) -> None:
    end = time.monotonic() + seconds
    try:
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(LOOK_S, left))
            if not stream.active:
                raise DeviceError("the audio interface stopped; is it still connected?")
            if sys.stdout.isatty():
                print(f"\r{performer}", end="", flush=True)
    except KeyboardInterrupt:
        pass
    finally:
        if sys.stdout.isatty():
            print()
