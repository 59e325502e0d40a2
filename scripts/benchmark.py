"""The figures in the README, measured anew: `python scripts/benchmark.py TABLE`.

Tables:
  spine   trains the rows of "What it reaches" on the songs in examples/ and prints them as Markdown (30 minutes)
  effects times every effect on one core, as configured and with its nonlinearity at 8 times the rate (1 minute)
  render  times the compiled renderer against the same loop in C, where there is a compiler (1 minute)
"""

from __future__ import annotations

import argparse
import ctypes
import json
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from fxemu.effects import Effect
from fxemu.engine.stream import Stream
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


def effects() -> None:
    """Print how many times faster than real time each effect of conf/effect runs on one core, and what it remembers."""
    torch.set_num_threads(1)
    print("| effect | x real time | 8x oversampled | memory |")
    print("|---|---|---|---|")
    for path in sorted((ROOT / "conf" / "effect").glob("*.yaml")):
        config = OmegaConf.load(path)
        effect = instantiate(config)
        fine = _speed(instantiate(config, oversampling=8)) if "oversampling" in config else ""
        memory = "the whole song" if effect.memory_s is None else f"{effect.memory_s:.3f} s"
        print(f"| {path.stem} | {_speed(effect)} | {fine} | {memory} |")


def _speed(effect: Effect, seconds: int = 20) -> str:
    dry = torch.rand(seconds * SAMPLE_RATE, generator=torch.Generator().manual_seed(0)) - 0.5
    effect(dry, SAMPLE_RATE)
    # In seconds of the core's own time, so that what else the machine does counts little.
    return f"{seconds / _fastest(lambda: effect(dry, SAMPLE_RATE), times=3, clock=time.process_time):.0f}"


def _fastest(run, times: int = 5, clock=time.perf_counter) -> float:
    best = float("inf")
    for _ in range(times):
        start = clock()
        run()
        best = min(best, clock() - start)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=("spine", "effects", "render"))
    parser.add_argument("--jobs", type=int, default=2, help="trainings at once (spine)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of each (spine)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.table == "spine":
        spine(options.jobs, options.threads, options.seed)
    elif options.table == "effects":
        effects()
    else:
        render()


if __name__ == "__main__":
    main()
