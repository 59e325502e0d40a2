"""Trains every family on every distortion for seconds, and counts free runs that diverge (35 minutes; --rows picks)."""

from __future__ import annotations

import argparse
import itertools

from tables.common import train

DISTORTIONS = ("tanh", "distortion", "overdrive", "fuzz", "tube", "bitcrusher", "wavefolder", "hysteresis")
FAMILIES = ("mlp", "gru", "lstm", "wavenet", "convnet")
SHORT = ["trainer.max_time=00:00:00:08", "data.batches_per_epoch=50", "data.val_seconds=2"]


def run(options: argparse.Namespace) -> None:
    """Print, for each training, the held-out songs whose free run diverged, and what it does on silence and pulses."""
    effects = [name for name in DISTORTIONS if not options.rows or name in options.rows]
    print("| effect | model | training | ESR | divergences | rest | after a square wave | after a click | forgets in |")
    print("|---|---|---|---|---|---|---|---|---|")
    total = 0
    for effect, family in itertools.product(effects, FAMILIES):
        result = train([f"effect={effect}", f"model={family}", f"seed={options.seed}", *SHORT], options.threads)
        test, total = result["test"], total + result["test"]["divergences"]
        s = test["stability"]
        forgets = "never" if s["forgets_ms"] is None else f"{s['forgets_ms']:.1f} ms"
        print(
            f"| {effect} | {family} | {result['train_seconds']:.0f} s | {test['esr']:.1e} | {test['divergences']} "
            f"| {s['rest']:.0e} | {s['after_square']:.0e} | {s['after_click']:.0e} | {forgets} |",
            flush=True,
        )
    print(f"{total} divergences; seed {options.seed}")
