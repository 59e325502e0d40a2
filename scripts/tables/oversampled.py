"""What oversampling costs, in the compiled renderer and in the C that is exported (2 minutes)."""

from __future__ import annotations

import argparse
import ctypes
import shutil
import time
from collections.abc import Callable

import torch

from fxemu.engine.streaming.stream import Stream
from fxemu.models.closed_loop import ClosedLoop
from fxemu.models.oversampled import oversampled
from fxemu.representations import Raw
from fxemu.runtimes.base import Model
from fxemu.runtimes.c import source
from tables.common import SAMPLE_RATE, fastest, one_thread
from tables.export_c import compiled, pointers
from tables.render import families

SECONDS, PASSES, FACTORS = 10, 3, (1, 2, 4)


def run(options: argparse.Namespace) -> None:
    """Print a row for each family: rates, and times over those without oversampling, the worst of three passes."""
    one_thread()
    dry = torch.rand(SECONDS * SAMPLE_RATE) - 0.5
    print(
        "| family | multiply-adds, x1 / x2 / x4 | fxemu, x real time | x2, x4 over x1 | C, x real time "
        "| x2, x4 over x1 in C |\n|---|---|---|---|---|---|"
    )
    for name in ("gru", "lstm", "mlp", "wavenet"):
        loop = ClosedLoop(families()[name], Raw(), Raw())
        multiply_adds = " / ".join(str(oversampled(loop, factor).plan().multiply_adds()) for factor in FACTORS)
        columns = [_times([_renderer(loop, factor, dry) for factor in FACTORS])]
        if shutil.which("cc"):
            columns.append(_times([_c(loop, factor, dry) for factor in FACTORS]))
        print(f"| {name} | {multiply_adds} | {' | '.join(columns)} |", flush=True)


def _times(runs: list[Callable[[], object]]) -> str:
    """Two columns: rates, and times over the first one's."""
    passes = [fastest(*runs, clock=time.thread_time) for _ in range(PASSES)]
    rates = " / ".join(f"{SECONDS / min(times):.0f}" for times in zip(*passes, strict=True))
    return f"{rates} | " + ", ".join(f"{max(times[i] / times[0] for times in passes):.2f}" for i in (1, 2))


def _renderer(loop: ClosedLoop, factor: int, dry: torch.Tensor) -> Callable[[], object]:
    stream = Stream(oversampled(loop, factor))
    return lambda: stream.process(dry)


def _c(loop: ClosedLoop, factor: int, dry: torch.Tensor) -> Callable[[], object]:
    model, wet = Model(loop, SAMPLE_RATE, "it", oversample=factor), torch.zeros_like(dry)
    library, state = compiled(source(model)[1]), ctypes.create_string_buffer(8_000_000)
    library.it_init(state)
    return lambda: library.play(state, *pointers(dry, wet), dry.numel())
