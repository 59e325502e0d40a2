"""The figures in the README, measured anew: `python scripts/benchmark.py TABLE`.

Tables:
  spine   trains the rows of "What it reaches" on the songs in examples/ and prints them as Markdown (30 minutes)
  render  times the compiled renderer against the same loops in C, where there is a compiler (2 minutes)
  rollout times rollout training against a plain PyTorch loop (1 minute)
  forced  times teacher-forced training against the machine's matrix products (10 seconds)
  scaling times a rollout step over K, batch and window, and draws docs/scaling.png (1 minute)
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from c_loops import build
from matplotlib.figure import Figure

from fxemu.engine.rollout import rollout
from fxemu.engine.stream import Stream, render_many
from fxemu.models import GRU, LSTM, MLP, Predictor, WaveNet
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


def families() -> dict[str, Predictor]:
    """What is rendered: the default MLP, and the others of like cost; a WaveNet of one array, as the C has it."""
    torch.manual_seed(0)
    dilations = [1, 2, 4, 8, 16, 32, 64]
    return {
        "mlp": MLP(1, 1, feedback_window=32),
        "lstm": LSTM(1, 1),
        "lstm, no feedback": LSTM(1, 1, feedback=False),
        "gru": GRU(1, 1),
        "gru, no feedback": GRU(1, 1, feedback=False),
        "wavenet": WaveNet(1, 1, width=8, arrays=1, dilations=dilations),
        "wavenet, no feedback": WaveNet(1, 1, width=8, arrays=1, dilations=dilations, feedback=False),
    }


def render() -> None:
    """Print the rate of each family in our renderer and in plain C with the same weights, and of many streams."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    dry = torch.rand(10 * SAMPLE_RATE) - 0.5
    seconds = dry.numel() / SAMPLE_RATE
    compiler = shutil.which("cc")
    print(
        "| family | multiply-adds a sample | fxemu | C | fxemu over C | largest difference |\n|---|---|---|---|---|---|"
    )
    for name, model in families().items():
        loop = ClosedLoop(model, Raw(), Raw())
        loop.limit.fill_(100.0)
        Stream(loop).process(dry[:10_000])
        line = f"| {name} | {loop.plan().multiply_adds()} |"
        if not compiler:
            print(line, f"{seconds / fastest(lambda loop=loop: Stream(loop).process(dry)):.0f}x | no compiler | | |")
            continue
        run = build(model)
        # In turns, so that what else the machine does meets both.
        ours, theirs = fastest(lambda loop=loop: Stream(loop).process(dry), lambda run=run: run(dry))
        error = float((run(dry) - Stream(loop).process(dry)).abs().max())
        print(line, f"{seconds / ours:.0f}x | {seconds / theirs:.0f}x | {theirs / ours:.2f} | {error:.0e} |")
    _many_streams(dry)


def _many_streams(dry: torch.Tensor) -> None:
    loop, cores = ClosedLoop(families()["mlp"], Raw(), Raw()), os.cpu_count() or 1
    (one,) = fastest(lambda: render_many(loop, [dry]))
    (many,) = fastest(lambda: render_many(loop, [dry] * cores))
    print(f"{cores} streams on {cores} cores: {cores * one / many:.2f} times the rate of one stream")


def rollout_speed() -> None:
    """Print the rate of rollout training against a plain PyTorch loop, one thread, denormals flushed."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    model = MLP(1, 1, context_window=256, feedback_window=32, width=48)
    loop = ClosedLoop(model, Raw(), Raw())
    print("| batch | K | fxemu, samples/s | plain loop | ratio | gradients differ by |\n|---|---|---|---|---|---|")
    for batch, steps in ((256, 256), (64, 64), (64, 256), (256, 64)):
        history, dry = 0.3 * torch.randn(batch, 1, 255), 0.3 * torch.randn(batch, 1, 255 + steps)
        gradients = []

        def ours() -> None:
            _learn(model, rollout(loop, dry, history)[0], gradients)  # noqa: B023

        def plain() -> None:
            _learn(model, _plain_loop(model, dry, history), gradients)  # noqa: B023

        ours()
        plain()
        error = float((gradients[0] - gradients[1]).norm() / gradients[1].norm())
        a, b = fastest(ours, plain, times=3)
        rates = batch * steps / a, batch * steps / b
        print(f"| {batch} | {steps} | {rates[0]:,.0f} | {rates[1]:,.0f} | {b / a:.1f} | {error:.0e} |")


def _learn(model: MLP, prediction: torch.Tensor, gradients: list[torch.Tensor]) -> None:
    model.zero_grad()
    prediction.square().mean().backward()
    gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))


def _plain_loop(model: MLP, dry: torch.Tensor, history: torch.Tensor) -> torch.Tensor:
    """A free run as one would write it: the dry window for all samples at once, the rest step by step."""
    driven, skip = model.dry(dry), model.skip(dry)
    heard, wet, predicted = model.wet.weight[:, 0].T, history[:, 0, -32:], []
    w2, w3 = model.hidden[0].weight[..., 0].T, model.out.weight[..., 0].T
    for t in range(driven.shape[-1] - (history.shape[-1] - 255)):
        h = torch.tanh(driven[..., t] + wet @ heard)
        h = torch.tanh(h @ w2 + model.hidden[0].bias)
        y = (h @ w3 + model.out.bias + skip[..., 255 + t]).clamp(-1.2, 1.2)
        wet = torch.cat((wet[:, 1:], y), dim=1)
        predicted.append(y)
    return torch.stack(predicted, dim=-1)


def forced_speed() -> None:
    """Print the rate of teacher-forced training against the machine's matrix products, at width 128."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    a, b = torch.randn(2, 1024, 1024)
    (product,) = fastest(lambda: a @ b)
    peak = 2 * 1024**3 / product / 1e9
    model = MLP(1, 1, context_window=256, feedback_window=32, width=128)
    loop = ClosedLoop(model, Raw(), Raw())
    dry, wet = 0.3 * torch.randn(2, 64, 1, 255 + 256)

    def step() -> None:
        model.zero_grad()
        loop.teacher_forced(dry, wet)[0].square().mean().backward()

    step()
    (seconds,) = fastest(step)
    # Forward, and backward to the weights; to the inputs only beyond the first layer.
    macs = 64 * 256 * (2 * (128 * (256 + 32)) + 3 * (128 * 128 + 128))
    print(
        f"matrix product: {peak:.0f} GFLOP/s; teacher-forced step at width 128: {2 * macs / seconds / 1e9:.0f} GFLOP/s"
    )
    print(f"ratio: {2 * macs / seconds / 1e9 / peak:.2f}")


def scaling() -> None:
    """Time a rollout step over K, batch and window; print the table and draw `docs/scaling.png`."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    ranges = {"K": [32, 64, 128, 256, 512, 1024], "batch": [32, 64, 128, 256, 512], "window": [32, 64, 128, 256, 512]}
    figure = Figure(figsize=(11, 3.5), layout="constrained")
    for axes, (name, values) in zip(figure.subplots(1, 3), ranges.items(), strict=True):
        costs = [_step_ms(**{"K": 64, "batch": 64, "window": 64, name: value}) for value in values]
        axes.loglog(values, costs, "o-")
        axes.set(xlabel=name, ylabel="ms a step", title=f"cost against {name}")
        axes.grid(alpha=0.3, which="both")
        slopes = np.diff(np.log(costs)) / np.diff(np.log(values))
        print(f"{name}: " + ", ".join(f"{v}: {c:.1f} ms" for v, c in zip(values, costs, strict=True)), end="; ")
        print("exponent from point to point: " + " ".join(f"{slope:.2f}" for slope in slopes))
    figure.savefig(ROOT / "docs" / "scaling.png", dpi=100)


def _step_ms(K: int, batch: int, window: int) -> float:  # noqa: N803
    model = MLP(1, 1, context_window=window, feedback_window=window - 1, width=32)
    loop = ClosedLoop(model, Raw(), Raw())
    history, dry = 0.3 * torch.randn(batch, 1, window - 1), 0.3 * torch.randn(batch, 1, window - 1 + K)

    def step() -> None:
        model.zero_grad()
        rollout(loop, dry, history)[0].square().mean().backward()

    step()
    return 1000 * fastest(step, times=3)[0]


def fastest(*runs: Callable[[], object], times: int = 5) -> list[float]:
    """The shortest of some times of each run, in seconds; the runs take turns."""
    best = [float("inf")] * len(runs)
    for _ in range(times):
        for i, run in enumerate(runs):
            start = time.perf_counter()
            run()
            best[i] = min(best[i], time.perf_counter() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=("spine", "render", "rollout", "forced", "scaling"))
    parser.add_argument("--jobs", type=int, default=2, help="trainings at once (spine)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of each (spine)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.table == "spine":
        spine(options.jobs, options.threads, options.seed)
    else:
        {"render": render, "rollout": rollout_speed, "forced": forced_speed, "scaling": scaling}[options.table]()


if __name__ == "__main__":
    main()
