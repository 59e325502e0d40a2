"""Trains every family on every distortion for half a minute; counts free runs that diverge (35 minutes; --rows)."""

from __future__ import annotations

import argparse
import itertools
from concurrent.futures import ThreadPoolExecutor

from tables.common import chosen, train

DISTORTIONS = ("tanh", "distortion", "overdrive", "fuzz", "tube", "bitcrusher", "wavefolder", "hysteresis")
FAMILIES = ("mlp", "gru", "lstm", "wavenet", "convnet")
SHORT = ["loss=esr", "trainer.max_time=00:00:00:30", "data.batches_per_epoch=100"]


def run(options: argparse.Namespace) -> None:
    """Print, for each training, the held-out songs whose free run diverged, and what it does on silence and pulses."""
    effects = chosen(options.rows, DISTORTIONS)
    pairs = list(itertools.product(effects, FAMILIES))
    print("| effect | model | training | ESR | divergences | rest | after a square wave | after a click | forgets in |")
    print("|---|---|---|---|---|---|---|---|---|")
    total = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for pair, result in zip(pairs, pool.map(lambda pair: _trained(*pair, options), pairs), strict=True):
            print(f"| {' | '.join((*pair, *_cells(result)))} |", flush=True)
            total += result["test"]["divergences"]
    print(f"{total} divergences; seed {options.seed}, {options.jobs} trainings at once")


def _trained(effect: str, family: str, options: argparse.Namespace) -> dict:
    segments = [] if family == "mlp" else ["experiment=long_segments"]
    return train([*segments, f"effect={effect}", f"model={family}", f"seed={options.seed}", *SHORT], options.threads)


def _cells(result: dict) -> list[str]:
    test, stability = result["test"], result["test"]["stability"]
    forgets = "never" if stability["forgets_ms"] is None else f"{stability['forgets_ms']:.1f} ms"
    pulses = [f"{stability[name]:.0e}" for name in ("rest", "after_square", "after_click")]
    return [f"{result['train_seconds']:.0f} s", f"{test['esr']:.1e}", str(test["divergences"]), *pulses, forgets]
