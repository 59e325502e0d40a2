"""Draws docs/how_little_audio.png from the runs of `train.py -m study=how_little_audio`, and prints them."""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from statistics import median

from matplotlib.figure import Figure

from tables.common import ROOT, finished_runs


def run(options: argparse.Namespace) -> None:
    """Print and draw the free-run error against the seconds of audio that were trained on, over all seeds."""
    errors: dict[float, list[float]] = defaultdict(list)
    for scores, _ in finished_runs("how_little_audio"):
        errors[scores["audio_seconds"]].append(scores["test"]["esr"])
    seconds = sorted(errors)
    print("| seconds of training audio | ESR |")
    print("|---|---|")
    for s in seconds:
        print(f"| {s:.3g} | {', '.join(f'{e:.1e}' for e in sorted(errors[s]))} |")
    figure = Figure(figsize=(5.5, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.loglog(seconds, [median(errors[s]) for s in seconds], color="tab:red")
    for s in seconds:
        axes.loglog([s] * len(errors[s]), errors[s], "o", color="tab:red", markersize=5)
    axes.set(xlabel="seconds of audio trained on", ylabel="free-run ESR", title="songs never trained on")
    axes.set_xticks(seconds, [f"{s:.3g}" for s in seconds])
    everything = [e for same in errors.values() for e in same]
    axes.set_ylim(10 ** math.floor(math.log10(min(everything))), 10 ** math.ceil(math.log10(max(everything))))
    axes.xaxis.minorticks_off()
    axes.grid(alpha=0.3, which="both")
    figure.savefig(ROOT / "docs" / "how_little_audio.png", dpi=90)
