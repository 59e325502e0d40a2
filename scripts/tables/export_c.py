"""Times the C that `fxemu export --format c` writes, of each family, in blocks of 64 samples (1 minute)."""

from __future__ import annotations

import argparse
import ctypes
import subprocess
import tempfile
import time
from pathlib import Path

import torch

from fxemu.engine.stream import render
from fxemu.export.base import Model
from fxemu.export.c import source
from fxemu.representations import Raw
from fxemu.rollout import ClosedLoop
from tables.common import SAMPLE_RATE, one_thread
from tables.render import families

SECONDS, BLOCK = 10, 64


def run(options: argparse.Namespace) -> None:
    """Print how many times faster than real time it plays, and how far it is from the renderer."""
    one_thread()
    dry = torch.rand(SECONDS * SAMPLE_RATE) - 0.5
    print("| family | x real time | largest difference from fxemu's renderer |\n|---|---|---|")
    for name, model in families().items():
        loop = ClosedLoop(model, Raw(), Raw())
        seconds, wet = _play(source(Model(loop, SAMPLE_RATE, "it")), dry)
        print(f"| {name} | {SECONDS / seconds:.0f} | {float((wet - render(loop, dry)).abs().max()):.0e} |")


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
