"""Times a rollout step over K, batch and window, and draws docs/scaling.png (1 minute)."""

from __future__ import annotations

import argparse

import numpy as np
import torch
from matplotlib.figure import Figure

from fxemu.engine.lockstep.rollout import rollout
from fxemu.models import MLP
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import Raw
from tables.common import ROOT, fastest, one_thread


def run(options: argparse.Namespace) -> None:
    """Time a rollout step over K, batch and window; print the table and draw `docs/scaling.png`."""
    one_thread()
    ranges = {"K": [32, 64, 128, 256, 512, 1024], "batch": [32, 64, 128, 256, 512], "window": [32, 64, 128, 256, 512]}
    figure = Figure(figsize=(11, 3.5), layout="constrained")
    for axes, (name, values) in zip(figure.subplots(1, 3), ranges.items(), strict=True):
        costs = [_step_ms(**{"K": 64, "batch": 64, "window": 64, name: value}) for value in values]
        axes.loglog(values, costs, "o-")
        axes.set(xlabel=name, ylabel="ms a step", title=f"cost against {name}")
        axes.set_xticks(values, values)
        axes.set_yticks([2**n for n in range(1, 8)], [2**n for n in range(1, 8)])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
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
        rollout(loop, dry, history).prediction.square().mean().backward()

    step()
    return 1000 * fastest(step, times=3)[0]
