"""Times every effect on one core, as configured and with its nonlinearity at 8 times the rate (1 minute)."""

from __future__ import annotations

import argparse
import time

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from fxemu.effects import Effect
from tables.common import ROOT, SAMPLE_RATE, one_thread

# These need something of the user's own.
NOT_HERE = ("command", "nam", "plugin", "python", "recorded")


def run(options: argparse.Namespace) -> None:
    """Print how many times faster than real time each effect of conf/effect runs, in brackets at 8 times the rate."""
    one_thread()
    print("| `effect=` | what it is | x real time | memory |\n|---|---|---|---|")
    for path in sorted((ROOT / "conf" / "effect").glob("*.yaml")):
        if path.stem in NOT_HERE:
            continue
        config = OmegaConf.load(path)
        effect = instantiate(config)
        fine = f" ({_speed(instantiate(config, oversampling=8))})" if "oversampling" in config else ""
        memory = "the whole song" if effect.memory_s is None else f"{effect.memory_s:.3f} s"
        words = path.read_text().partition("\n")[0].removeprefix("# ").removesuffix(".")
        print(f"| `{path.stem}` | {words} | {_speed(effect)}{fine} | {memory} |")


def _speed(effect: Effect, seconds: int = 20) -> str:
    dry = torch.rand(seconds * SAMPLE_RATE, generator=torch.Generator().manual_seed(0)) - 0.5
    effect(dry, SAMPLE_RATE)
    best = float("inf")
    for _ in range(3):
        # The core's own time, so that what else the machine does counts little.
        start = time.process_time()
        effect(dry, SAMPLE_RATE)
        best = min(best, time.process_time() - start)
    return f"{seconds / best:.0f}"
