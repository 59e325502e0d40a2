"""Times the C that `fxemu export --format c` writes, and compares it over 10 s, in blocks of 64 samples (3 minutes)."""

from __future__ import annotations

import argparse
import ctypes
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path

import torch

from fxemu.engine.streaming.stream import render
from fxemu.models import GRU, LSTM, MLP, ConvNet, Linear, Predictor, WaveNet
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import Binary, MuLaw, OneHot, OneHotResidual, Raw, Representation
from fxemu.runtimes.base import Model
from fxemu.runtimes.c import source
from tables.common import SAMPLE_RATE, one_thread
from tables.render import families

SECONDS, BLOCK = 10, 64
# One of each family, with feedback, for the representations that cost more.
WITH_FEEDBACK = {
    "mlp": lambda c, p: MLP(c, p, 32, 16, width=8),
    "lstm": lambda c, p: LSTM(c, p, width=8),
    "gru": lambda c, p: GRU(c, p, width=8),
    "wavenet": lambda c, p: WaveNet(c, p, 4, dilations=[1, 2, 4]),
    "convnet": lambda c, p: ConvNet(c, p, 4, dilations=[1, 2, 4]),
    "linear": lambda c, p: Linear(c, p, 32, 16),
}


def run(options: argparse.Namespace) -> None:
    """Print how many times faster than real time it plays, and how far it is from the renderer."""
    one_thread()
    dry = torch.rand(SECONDS * SAMPLE_RATE) - 0.5
    print("| family | representation | x real time | largest difference from fxemu's renderer |\n|---|---|---|---|")
    for name, model in families().items():
        _row(name, model, Raw(), dry)
    # At this temperature an untrained predictor is loud enough to compare.
    loud = (partial(kind, temperature=0.2) for kind in (OneHot, OneHotResidual))
    for kind in (MuLaw, Binary, *loud):
        for name, make in WITH_FEEDBACK.items():
            torch.manual_seed(0)
            both = kind()
            _row(f"small {name}", make(both.channels, both.params), both, dry)


def _row(name: str, model: Predictor, both: Representation, dry: torch.Tensor) -> None:
    loop = ClosedLoop(model, both, both)
    seconds, wet = _play(source(Model(loop, SAMPLE_RATE, "it"))[1], dry)
    error = float((wet - render(loop, dry)).abs().max())
    print(f"| {name} | {type(both).__name__} | {SECONDS / seconds:.0f} | {error:.0e} |", flush=True)


def _play(text: str, dry: torch.Tensor) -> tuple[float, torch.Tensor]:
    """Compile it, play `dry`, and return the seconds that took at best, and what came out."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "it.c").write_text(text)
        flags = ("-std=c99", "-O3", "-march=native", "-ffast-math", "-shared", "-fPIC")
        subprocess.run(["cc", *flags, "it.c", "-o", "it.so", "-lm"], cwd=folder, check=True)
        library = ctypes.CDLL(str(Path(folder) / "it.so"))
    state, wet, best = ctypes.create_string_buffer(8_000_000), torch.zeros_like(dry), float("inf")
    for _ in range(3):
        library.it_init(state)
        start = time.perf_counter()
        for first in range(0, dry.numel(), BLOCK):
            count = min(BLOCK, dry.numel() - first)
            x, y = (ctypes.c_void_p(t.data_ptr() + 4 * first) for t in (dry, wet))
            library.it_process(state, x, y, count)
        best = min(best, time.perf_counter() - start)
    return best, wet
