"""The figures in the README, measured anew: `python scripts/benchmark.py TABLE`.

Tables:
  spine   trains the rows of "What it reaches" on the songs in examples/ and prints them as Markdown (30 minutes)
  render  times the compiled renderer against the same loop in C, where there is a compiler (1 minute)
  library indexes and streams libraries of links to the songs in examples/: start, speed and memory (10 minutes)
"""

from __future__ import annotations

import argparse
import ctypes
import itertools
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from pytorch_optimizer import SOAP

from fxemu.data import SongData
from fxemu.effects import Distortion
from fxemu.engine.stream import Stream
from fxemu.index import Index
from fxemu.library import list_audio_files
from fxemu.measure import measure
from fxemu.models import MLP
from fxemu.representations import Raw
from fxemu.rollout import ClosedLoop

ROOT = Path(__file__).resolve().parent.parent
SAMPLE_RATE = 44_100

# What is trained: a name for the row, the overrides, the score it is judged by and the most it may be.
SPINE = (
    ("tanh(5x)", ["effect=tanh", "loss=esr"], "nmae", 5e-3),
    ("lowpass 1 kHz", ["effect=lowpass", "loss=esr"], "esr", 1e-5),
    ("distortion, raw", ["effect=distortion", "repr=raw", "loss=esr"], "esr", 3e-3),
    ("distortion, mu-law", ["effect=distortion", "repr=mulaw"], "esr", 1e-2),
    ("distortion, window 64", ["experiment=small_window", "loss=esr"], "esr", None),
    ("the same, no feedback", ["experiment=small_window", "loss=esr", "model.feedback=false"], "esr", None),
)


def train(overrides: list[str], threads: int) -> dict:
    """Train in a process of its own; what its metrics.json holds."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "train.py", *overrides, f"threads={threads}", f"hydra.run.dir={folder}"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(overrides)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return json.loads((Path(folder) / "metrics.json").read_text())


def spine(jobs: int, threads: int, seed: int) -> None:
    """Print the table of issue "the spine", one training a row."""
    with ThreadPoolExecutor(jobs) as pool:
        results = list(pool.map(lambda row: train([*row[1], f"seed={seed}"], threads), SPINE))
    print("| run | options | training | ESR | NMAE | copy-last | best gain | best FIR | asked |")
    print("|---|---|---|---|---|---|---|---|---|")
    for (name, overrides, score, most), result in zip(SPINE, results, strict=True):
        test = result["test"]
        lines = [f"{test['baselines'][b]['esr']:.1e}" for b in ("copy_last", "gain", "fir")]
        asked = f"{score.upper()} <= {most:g}" if most else ""
        print(
            f"| {name} | `{' '.join(overrides)}` | {result['train_seconds']:.0f} s | {test['esr']:.1e} "
            f"| {test['nmae']:.2%} | {' | '.join(lines)} | {asked} |"
        )
    ratio = results[-2]["test"]["esr"] / results[-1]["test"]["esr"]
    print(f"\nwindow 64, with feedback over without: {ratio:.2f} (asked: at most 0.5)")
    print(f"single-stream render, default model: {results[2]['test']['realtime_factor']:.0f}x real time (asked: 40x)")
    print(f"seed {seed}, {threads} thread(s) a training, {jobs} at once")


C_SOURCE = """
#include <math.h>
void run(int n, const float *x, float *y, const float *wd, const float *ww, const float *b1, const float *w2,
         const float *b2, const float *w3, float b3, float skip) {
  for (int t = 0; t < n; t++) {
    float h[H], g[H];
    for (int u = 0; u < H; u++) h[u] = b1[u];
    for (int i = 0; i < M; i++) for (int u = 0; u < H; u++) h[u] += x[t + i] * wd[i * H + u];
    for (int i = 0; i < N; i++) for (int u = 0; u < H; u++) h[u] += y[t + i] * ww[i * H + u];
    for (int u = 0; u < H; u++) { h[u] = tanhf(h[u]); g[u] = b2[u]; }
    for (int i = 0; i < H; i++) for (int u = 0; u < H; u++) g[u] += h[i] * w2[i * H + u];
    float p = b3 + skip * x[t + M - 1];
    for (int u = 0; u < H; u++) p += tanhf(g[u]) * w3[u];
    y[t + N] = p;
  }
}
"""


def render() -> None:
    """Print the rate of the default MLP in our renderer and in plain C with the same weights."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = MLP(channels=1, params=1, feedback_window=32)
    loop = ClosedLoop(model, Raw(), Raw())
    dry = torch.rand(10 * SAMPLE_RATE) - 0.5
    Stream(loop).process(dry[:10_000])
    ours = _fastest(lambda: Stream(loop).process(dry))
    seconds = dry.numel() / SAMPLE_RATE
    print(f"fxemu: {seconds / ours:.0f}x real time")
    if not shutil.which("cc"):
        print("no C compiler found: nothing to compare with")
        return
    run = _build(model)
    theirs = _fastest(lambda: run(dry))
    error = float((run(dry) - Stream(loop).process(dry)).abs().max())
    print(f"C, -O3 -march=native -ffast-math: {seconds / theirs:.0f}x real time; largest difference {error:.1e}")
    print(f"fxemu over C: {theirs / ours:.2f}")


def _fastest(run, times: int = 5) -> float:
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


def _build(model: MLP):
    """The C loop with the model's weights, as a function of dry (samples,)."""
    m, n, h = model.dry.kernel_size[0], model.wet.kernel_size[0], model.dry.out_channels
    folder = Path(tempfile.mkdtemp())
    (folder / "loop.c").write_text(C_SOURCE)
    flags = ["-O3", "-march=native", "-ffast-math", "-shared", "-fPIC", f"-DM={m}", f"-DN={n}", f"-DH={h}"]
    subprocess.run(["cc", *flags, "loop.c", "-o", "loop.so", "-lm"], cwd=folder, check=True)
    function = ctypes.CDLL(str(folder / "loop.so")).run
    shutil.rmtree(folder)
    layers = (model.dry.weight, model.wet.weight, model.dry.bias, model.hidden[0].weight, model.hidden[0].bias)
    arrays = [np.ascontiguousarray(w.detach().permute(2, 1, 0) if w.ndim == 3 else w.detach()) for w in layers]
    arrays.append(np.ascontiguousarray(model.out.weight.detach().flatten()))
    scalars = [ctypes.c_float(float(w.detach().flatten())) for w in (model.out.bias, model.skip.weight)]

    def address(array: np.ndarray) -> ctypes.c_void_p:
        return array.ctypes.data_as(ctypes.c_void_p)

    def run(dry: torch.Tensor) -> torch.Tensor:
        x = np.concatenate((np.zeros(m - 1, np.float32), dry.numpy()))
        y = np.zeros(n + dry.numel(), np.float32)
        function(dry.numel(), address(x), address(y), *map(address, arrays), *scalars)
        return torch.from_numpy(y[n:])

    return run


def library(sizes: list[int]) -> None:
    """Print what the model takes, what one core indexes, and a row for each size of library."""
    steps = consumption()
    print(f"the default model takes {steps:.0f} batches of 64 segments a second in teacher forcing, on one thread")
    paths = list_audio_files(ROOT / "examples")
    seconds, spent = indexing(paths)
    print(f"one core indexes {seconds / spent:.0f} s of audio a second ({seconds:.0f} s in all seven formats)\n")
    print(
        "| files | hours | first start | next start | batches/s while indexing | indexed | over the model's | memory |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            for number in range(size):
                song = Path(paths[number % len(paths)])
                os.symlink(song, Path(folder) / f"{number}{song.suffix}")
            first, then = (_apart(library_row, folder) for _ in range(2))
        print(
            f"| {size} | {first['hours']:.1f} | {first['start']:.1f} s | {then['start']:.1f} s | {first['supply']:.0f} "
            f"| {then['supply']:.0f} | {then['supply'] / steps:.1f}x | {max(first['mb'], then['mb']):.0f} MB |",
            flush=True,
        )


def _apart(function, *arguments):
    """Call a function in a fresh process, whose memory is its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def consumption(steps: int = 60) -> float:
    """Optimizer steps a second of the default model in its teacher-forced stage."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    loop = ClosedLoop(MLP(channels=1, params=1), Raw(), Raw())
    optimizer = SOAP(loop.parameters(), lr=1e-3)
    dry = torch.rand(64, 1, loop.warm_up + 1 + 64) - 0.5
    start = time.perf_counter()
    for _ in range(steps):
        optimizer.zero_grad()
        (loop.teacher_forced(dry, dry)[..., -64:] - dry[..., -64:]).square().mean().backward()
        optimizer.step()
    return steps / (time.perf_counter() - start)


def indexing(paths: list[str]) -> tuple[float, float]:
    """Seconds of audio, and the seconds of one core that measuring them took."""
    start = time.process_time()
    return sum(measure(path).duration_s for path in paths), time.process_time() - start


def library_row(folder: str) -> dict[str, float]:
    """Start on a library as a training does, stream from it for 15 s, and wait until all of it is indexed."""
    torch.set_num_threads(1)
    most, done = [0.0], threading.Event()
    threading.Thread(target=_watch_memory, args=(most, done), daemon=True).start()
    begun = time.perf_counter()
    data = SongData(Distortion(), 255, folder, index=f"{folder}/index.sqlite", batches_per_epoch=10**9)
    data.setup()
    batches = data.train_dataloader().dataset
    batches[0]
    start = time.perf_counter() - begun
    begun = time.perf_counter()
    count = next(n for n in itertools.count(1) if batches[n] and time.perf_counter() - begun > 15)
    if data.stream:
        data.stream.source.scan.wait(lambda entries: False)
    done.set()
    data.teardown("fit")
    hours = sum(entry.duration_s for entry in Index(f"{folder}/index.sqlite").below(folder)) / 3600
    return {"hours": hours, "start": start, "supply": count / 15, "mb": most[0]}


def _watch_memory(most: list[float], done: threading.Event) -> None:
    """Keep in `most` the largest memory of this process and its decoders together, in MB, shared pages counted once."""
    while not done.wait(0.25):
        children = (_text(task / "children").split() for task in Path("/proc/self/task").iterdir())
        most[0] = max(most[0], sum(map(_proportional_mb, {"self", *itertools.chain(*children)})))


def _text(path: Path) -> str:
    """What a file holds; nothing if it is gone, as threads and processes will be."""
    try:
        return path.read_text()
    except OSError:
        return ""


def _proportional_mb(pid: str) -> float:
    lines = _text(Path(f"/proc/{pid}/smaps_rollup")).splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=("spine", "render", "library"))
    parser.add_argument("--jobs", type=int, default=2, help="trainings at once (spine)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of each (spine)")
    parser.add_argument("--files", type=int, nargs="+", default=[10, 100, 1000], help="sizes of libraries (library)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.table == "spine":
        spine(options.jobs, options.threads, options.seed)
    elif options.table == "render":
        render()
    else:
        library(options.files)


if __name__ == "__main__":
    main()
