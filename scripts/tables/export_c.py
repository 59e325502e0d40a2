"""Times the C that `fxemu export --format c` writes, beside straightforward C, in blocks of 64 samples (10 minutes)."""

from __future__ import annotations

import argparse
import ctypes
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from fxemu.engine.streaming.stream import render
from fxemu.models import GRU, LSTM, MLP, ConvNet, Linear, Predictor, WaveNet
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import Binary, MuLaw, OneHot, OneHotResidual, Raw, Representation
from fxemu.runtimes.base import Model
from fxemu.runtimes.c import source
from tables.c_loops import FLAGS, build
from tables.common import SAMPLE_RATE, fastest, one_thread
from tables.render import families

SECONDS, BLOCK, PASSES = 10, 64, 3
# What a host at 48 kHz plays, and for how long.
HOST_RATE, HOST_S = 48_000, 60
# Over C: the worst of three passes. The longest block: of 60 s of blocks of 64 at 48 kHz, in their time. The error: the
# largest difference from fxemu's renderer.
HEADER = "| family | x real time | over straightforward C | longest block | error |\n|---|---|---|---|---|"
# One of each family, with feedback, for the representations that cost more.
WITH_FEEDBACK = {
    "mlp": lambda c, p: MLP(c, p, 32, 16, width=8),
    "lstm": lambda c, p: LSTM(c, p, width=8),
    "gru": lambda c, p: GRU(c, p, width=8),
    "wavenet": lambda c, p: WaveNet(c, p, 4, dilations=[1, 2, 4]),
    "convnet": lambda c, p: ConvNet(c, p, 4, dilations=[1, 2, 4]),
    "linear": lambda c, p: Linear(c, p, 32, 16),
}


# As a program calls it, with the processor's time of the longest block.
DRIVER = """
#include <time.h>
#define BLOCK_OF_HOST 64
void play(it_state *s, const float *dry, float *wet, int n)
{
  for (; n > 0; n -= BLOCK_OF_HOST, dry += BLOCK_OF_HOST, wet += BLOCK_OF_HOST)
    it_process(s, dry, wet, n < BLOCK_OF_HOST ? n : BLOCK_OF_HOST);
}

static double spent(void)
{
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return t.tv_sec + 1e-9 * t.tv_nsec;
}

double longest_block(it_host *h, const float *dry, float *wet, int n)
{
  double longest = 0.0;
  it_host_init(h, 48000);
  for (; n >= BLOCK_OF_HOST; n -= BLOCK_OF_HOST, dry += BLOCK_OF_HOST, wet += BLOCK_OF_HOST) {
    const double start = spent();
    it_host_process(h, dry, wet, BLOCK_OF_HOST);
    longest = fmax(longest, spent() - start);
  }
  return longest;
}
"""


def run(options: argparse.Namespace) -> None:
    """Print how many times faster than real time it plays, and how far it is from the renderer."""
    one_thread()
    dry = torch.rand(SECONDS * SAMPLE_RATE) - 0.5
    print(HEADER)
    for name, model in families().items():
        _row(name, model, Raw(), dry, build(model))
    print("\n" + HEADER.replace("family", "family, representation"))
    # At this temperature an untrained predictor is loud enough to compare.
    loud = (partial(kind, temperature=0.2) for kind in (OneHot, OneHotResidual))
    for kind in (MuLaw, Binary, *loud):
        for name, make in WITH_FEEDBACK.items():
            torch.manual_seed(0)
            both = kind()
            _row(f"small {name}, {type(both).__name__}", make(both.channels, both.params), both, dry)


def _row(
    name: str,
    model: Predictor,
    both: Representation,
    dry: torch.Tensor,
    plain: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> None:
    """Print a row; `plain` is the same in straightforward C, if there is that."""
    loop, wet = ClosedLoop(model, both, both), torch.zeros_like(dry)
    library, state = compiled(source(Model(loop, SAMPLE_RATE, "it"))[1]), ctypes.create_string_buffer(8_000_000)
    library.it_init(state)
    library.play(state, *pointers(dry, wet), dry.numel())
    error = float((wet - render(loop, dry)).abs().max())
    runs = [lambda: library.play(state, *pointers(dry, wet), dry.numel())] + ([lambda: plain(dry)] if plain else [])
    passes = [fastest(*runs, clock=time.thread_time) for _ in range(PASSES)]
    ratio = f"{min(other / own for own, other in passes):.2f}" if plain else ""
    song = torch.rand(HOST_S * HOST_RATE) - 0.5
    played = torch.empty_like(song)
    longest = library.longest_block(state, *pointers(song, played), song.numel()) * HOST_RATE / BLOCK
    rate = SECONDS / min(own for own, *_ in passes)
    print(f"| {name} | {rate:.0f} | {ratio} | {longest:.2f} | {error:.0e} |", flush=True)


def pointers(*signals: torch.Tensor) -> list[ctypes.c_void_p]:
    """What C takes of signals."""
    return [ctypes.c_void_p(signal.data_ptr()) for signal in signals]


def compiled(text: str) -> ctypes.CDLL:
    """The C of a model by the name `it`, with `play`, which takes blocks of 64 samples."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "it.c").write_text(text + DRIVER)
        subprocess.run(["cc", *FLAGS, "it.c", "-o", "it.so", "-lm"], cwd=folder, check=True)
        library = ctypes.CDLL(str(Path(folder) / "it.so"))
    library.longest_block.restype = ctypes.c_double
    return library
