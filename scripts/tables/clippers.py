"""How much effects alias at each of their own oversampling factors (10 seconds)."""

from __future__ import annotations

import argparse
from functools import partial

from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor

from fxemu.effects import Effect
from fxemu.engine.oversampling import FACTORS
from fxemu.evaluation.measurements.aliasing import aliasing_db
from tables.common import ROOT, SAMPLE_RATE, one_thread

NOTES_HZ = 2093.0, 4186.0


def run(options: argparse.Namespace) -> None:
    """Print the aliased over the harmonic energy of two notes, for each effect that can be oversampled."""
    one_thread()
    print(f"| `effect=` | {' | '.join(f'x{factor}' for factor in FACTORS)} |\n|---|{'---|' * len(FACTORS)}")
    for path in sorted((ROOT / "conf" / "effect").glob("*.yaml")):
        config = OmegaConf.load(path)
        if "oversampling" not in config:
            continue
        cells = []
        for factor in FACTORS:
            play = partial(_all, instantiate(config, oversampling=factor))
            cells.append(" / ".join(f"{aliasing_db(play, [hz], SAMPLE_RATE):.0f}" for hz in NOTES_HZ) + " dB")
        print(f"| `{path.stem}` | {' | '.join(cells)} |", flush=True)


def _all(effect: Effect, tones: list[Tensor]) -> list[Tensor]:
    return [effect(tone, SAMPLE_RATE) for tone in tones]
