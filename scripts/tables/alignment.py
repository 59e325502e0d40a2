"""Latency and drift found in simulated recordings of every song in examples/, at 40 dB SNR (--seed, --rows)."""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

from torch import Tensor

from fxemu.audio.tensors import decode
from fxemu.library.recordings.alignment import align
from fxemu.library.songs import list_audio_files
from tables.common import ROOT, SAMPLE_RATE, one_thread

# The simulated boxes and the interface between them and the computer are the tests'.
sys.path.insert(0, str(ROOT / "tests"))
from helpers.boxes import BOXES as DISTORTIONS
from helpers.recordings import compressor, interface, reverb

BOXES = {**DISTORTIONS, "compressor": compressor, "reverb": reverb}
MOST_EARLY_SAMPLES, MOST_PPM = 4.0, 1.0  # the fraction of a sample included


def run(options: argparse.Namespace) -> None:
    """Print the error of latency and drift for each song and effect; latency, drift and noise are drawn anew."""
    one_thread()
    draw = random.Random(options.seed)
    names = options.rows or list(BOXES)
    print(f"| song | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    errors = []
    for path in map(Path, list_audio_files(ROOT / "examples")):
        dry, _ = decode(path, SAMPLE_RATE)
        found = [_errors(BOXES[name](dry), dry, draw) for name in names]
        errors += found
        print(
            f"| {path.stem} | {' | '.join(f'{samples:+.1f}, {ppm:+.2f} ppm' for samples, ppm in found)} |", flush=True
        )
    late = sum(samples > 0 for samples, _ in errors)
    early = sum(samples < -MOST_EARLY_SAMPLES for samples, _ in errors)
    drifts = sum(abs(ppm) > MOST_PPM for _, ppm in errors)
    print(
        f"of {len(errors)}: {late} with wet before its cause, {early} more than {MOST_EARLY_SAMPLES:g} samples early,"
    )
    print(f"{drifts} with a drift more than {MOST_PPM:g} ppm off")


def _errors(wet: Tensor, dry: Tensor, draw: random.Random) -> tuple[float, float]:
    """Errors of the latency in samples and of the drift in ppm."""
    delay, ppm = draw.uniform(0, 3000), draw.choice((0.0, draw.uniform(-100, 100)))
    found = align(dry, interface(wet, delay, ppm, seed=draw.randrange(2**31)))
    return found.delay_samples - delay, found.drift_ppm - ppm
