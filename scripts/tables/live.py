"""Plays the default model live for 60 s through an interface that keeps time, on one core (1 minute)."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from fxemu.audio.device import Array, playing
from fxemu.emulation import Emulation
from fxemu.emulation.live import LiveProcessor, without_pauses
from fxemu.emulation.mix import Mix
from fxemu.models import MLP
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import Raw
from tables.common import ROOT, SAMPLE_RATE, one_thread

SECONDS, BLOCK = 60, 64
# Runs only when nothing else would.
IDLE = "import os\nos.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\nwhile True: pass"


class Timed(LiveProcessor):
    """One that also keeps the processor's time for each block, which does not count what other programs took."""

    def __call__(self, dry: Array, lost: bool) -> Array:
        start = time.thread_time()
        result = super().__call__(dry, lost)
        spent_s.append(time.thread_time() - start)
        return result


spent_s: list[float] = []


def run(options: argparse.Namespace) -> None:
    """Print how many blocks `fxemu live` and the interface find late, and the processor time of a block."""
    # The interface of the tests: its thread and the model's share the core.
    sys.path.append(str(ROOT / "tests"))
    from helpers.sounddevice import interface

    one_thread()
    torch.manual_seed(0)
    device = interface((torch.rand(SAMPLE_RATE) - 0.5).numpy(), [])
    sys.modules["sounddevice"] = device
    emulation = Emulation(ClosedLoop(MLP(1, 1, feedback_window=32), Raw(), Raw()), SAMPLE_RATE)
    with _one_core_awake(), without_pauses():
        processor = Timed(emulation, Mix(), BLOCK)
        with playing(processor, SAMPLE_RATE, BLOCK):
            time.sleep(SECONDS)
    spent_ms = 1e3 * torch.tensor(spent_s)
    print("| priority | blocks | late | late by the interface's clock | processor time of a block, median | longest |")
    print("|---|---|---|---|---|---|")
    priority = "ordinary" if os.sched_getscheduler(0) == os.SCHED_OTHER else "real-time, `chrt -f 50`"
    print(
        f"| {priority} | {processor.blocks} | {processor.late} | {device.streams[0].late} "
        f"| {spent_ms.median():.2f} ms | {spent_ms.max():.2f} ms |"
    )


@contextmanager
def _one_core_awake() -> Iterator[None]:
    """On one core (on Linux), which does not go to sleep between blocks, as studio machines are set up.

    Else a virtual machine that has nothing to do for a millisecond is put aside, at times for several.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    spinning = subprocess.Popen([sys.executable, "-c", IDLE])
    try:
        yield
    finally:
        spinning.kill()
