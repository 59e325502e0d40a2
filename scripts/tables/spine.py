"""Trains the rows of "The default songs" in docs/results.md (80 minutes; --rows picks, e.g. "tanh(5x)")."""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor

from tables.common import chosen, train

DISTORTION = ["model=mlp", "effect=distortion", "loss=esr"]
GRU = ["experiment=long_segments", "model=gru", "effect=distortion", "loss=esr"]
WINDOW = ["experiment=small_window", "loss=esr"]
# What is trained: a name for the row, the overrides, the score it is judged by and the most it may be.
SPINE = (
    ("tanh(5x)", ["model=mlp", "effect=tanh", "loss=esr"], "nmae", 1e-3),
    ("low-pass 1 kHz", ["model=mlp", "effect=lowpass", "loss=esr"], "esr", 1e-6),
    ("distortion, raw", DISTORTION, "esr", 1e-3),
    ("distortion, the default", ["effect=distortion"], "esr", 1e-3),
    ("distortion, mu-law, the default", ["effect=distortion", "repr=mulaw"], "esr", 1e-2),
    ("distortion, gru", GRU, "esr", 1e-3),
    ("gru, no feedback", [*GRU, "model.feedback=false"], "esr", None),
    ("distortion, lstm", ["experiment=long_segments", "effect=distortion", "loss=esr"], "esr", None),
    ("distortion, window 64", WINDOW, "esr", None),
    ("window 64, no feedback", [*WINDOW, "model.feedback=false"], "esr", None),
    ("distortion, half an hour", [*DISTORTION, "training.steps=66000", "trainer.max_time=00:00:29:45"], "esr", None),
)


def run(options: argparse.Namespace) -> None:
    """Print the table, one training a row."""
    jobs, threads, seed = options.jobs, options.threads, options.seed
    names = chosen(options.rows, (row[0] for row in SPINE))
    rows = [row for row in SPINE if row[0] in names]
    common = [f"seed={seed}", f"data.library={options.library}"]
    with ThreadPoolExecutor(jobs) as pool:
        results = list(pool.map(lambda row: train([*row[1], *common], threads), rows))
    print("| effect | options | time | ESR | NMAE | ESR of copy-last | best gain | best FIR |")
    print("|---|---|---|---|---|---|---|---|")
    for (name, overrides, _, _), result in zip(rows, results, strict=True):
        test = result["test"]
        baselines = " | ".join(f"{test['baselines'][b]['esr']:.1e}" for b in ("copy_last", "gain", "fir"))
        print(
            f"| {name} | `{' '.join(overrides)}` | {result['train_seconds']:.0f} s | {test['esr']:.1e} "
            f"| {test['nmae']:.2%} | {baselines} |"
        )
    print()
    for (name, _, score, most), result in zip(rows, results, strict=True):
        if most is not None:
            print(f"{name}: {score.upper()} {result['test'][score]:.1e} (asked: at most {most:g})")
    if rows == list(SPINE):
        tests = {name: result["test"] for name, result in zip(names, results, strict=True)}
        ratio = tests["distortion, window 64"]["esr"] / tests["window 64, no feedback"]["esr"]
        print(f"window 64, with feedback over without: {ratio:.2f} (asked: at most 0.5)")
        factor = tests["distortion, raw"]["realtime_factor"]
        print(f"single-stream render, default model: {factor:.0f}x real time (asked: 40x)")
    print(f"seed {seed}, {threads} thread(s) a training, {jobs} at once, songs of {options.library}")
