"""Prints the runs of `train.py -m study=feedback_rollouts`: short windows, with and without feedback, three seeds."""

from __future__ import annotations

import argparse

from tables.feedback_map import points_of_runs, with_and_without

SEEDS = (0, 1, 2)
# As `feedback_map` names the net of the study, whose runs lie among those of the map.
NET = "`mlp` 12, window 64, 5 minutes"


def run(options: argparse.Namespace) -> None:
    """Print the error of each effect with and without feedback, and one over the other."""
    seeds = [points_of_runs(seed)[0] for seed in SEEDS]
    print(f"| effect | multiply-adds | {' | '.join(f'seed {seed}' for seed in SEEDS)} | ratio |")
    print(f"|{'---|' * (3 + len(SEEDS))}")
    for effect in sorted({effect for effects in seeds for effect in effects}):
        pairs = [{p.feedback: p for p in effects.get(effect, []) if p.net == NET} for effects in seeds]
        whole = [pair for pair in pairs if len(pair) == 2]
        if whole:
            costs = f"{whole[0][True].cost} / {whole[0][False].cost}"
            ratios = ", ".join(f"{pair[True].esr / pair[False].esr:.2f}" for pair in whole)
            print(f"| {effect} | {costs} | {' | '.join(map(with_and_without, pairs))} | {ratios} |")
