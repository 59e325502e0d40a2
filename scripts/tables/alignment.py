"""Delay and drift that are found in simulated recordings of every song in examples/, at 40 dB SNR (10 minutes)."""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

from fxemu.alignment import align
from fxemu.audio import decode
from fxemu.library import list_audio_files
from tables.common import ROOT, SAMPLE_RATE, one_thread

# The simulated boxes and the interface between them and the computer are the tests'.
sys.path.insert(0, str(ROOT / "tests"))
from boxes import compressor, fuzz, interface, reverb

EFFECTS = {"fuzz": fuzz, "reverb": reverb, "compressor": compressor}


def run(options: argparse.Namespace) -> None:
    """Print the error of delay and drift for each song and effect, each at a delay and a drift drawn at random."""
    one_thread()
    draw = random.Random(options.seed)
    print(f"| song | {' | '.join(EFFECTS)} |\n|---|{'---|' * len(EFFECTS)}")
    for path in map(Path, list_audio_files(ROOT / "examples")):
        dry, _ = decode(path, SAMPLE_RATE)
        cells = []
        for effect in EFFECTS.values():
            delay, ppm = draw.uniform(-50, 3000), draw.uniform(-100, 100)
            found = align(dry, interface(effect(dry), delay, ppm, seed=draw.randrange(2**31)))
            lost = f", jump of {found.jump_samples:+.0f}" if found.jump_samples else ""
            cells.append(f"{found.delay_samples - delay:+.3f} samples, {found.drift_ppm - ppm:+.3f} ppm{lost}")
        print(f"| {path.stem} | {' | '.join(cells)} |", flush=True)
