"""Delay and drift found in simulated recordings of every song in examples/, at 40 dB SNR (--seed, --rows)."""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

from torch import Tensor

from fxemu.audio.tensors import decode
from fxemu.effects import Compressor, Distortion, Fuzz, PlateReverb, RoomReverb
from fxemu.library.recordings.alignment import align
from fxemu.library.songs import list_audio_files
from tables.common import ROOT, SAMPLE_RATE, one_thread

# The simulated boxes and the interface between them and the computer are the tests'.
sys.path.insert(0, str(ROOT / "tests"))
from helpers.recordings import compressor, fuzz, interface, reverb

# Boxes whose output begins with its input, so that all delay is the interface's.
BOXES = {"fuzz": fuzz, "reverb": reverb, "compressor": compressor}
# The shelf's filters delay too: what counts is by how much more is found than without the interface's delay.
SHELF = {effect.__name__: effect() for effect in (Fuzz, Distortion, RoomReverb, PlateReverb, Compressor)}
MOST_SAMPLES, MOST_PPM = 0.05, 1.0


def run(options: argparse.Namespace) -> None:
    """Print the error of delay and drift for each song and effect; delay, drift, noise and reverb are drawn anew."""
    one_thread()
    draw = random.Random(options.seed)
    names = options.rows or [*BOXES, *SHELF]
    print(f"| song | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    errors = []
    for path in map(Path, list_audio_files(ROOT / "examples")):
        dry, _ = decode(path, SAMPLE_RATE)
        cells = []
        for name in names:
            samples, ppm, notes = _errors(name, dry, draw)
            errors.append((abs(samples), abs(ppm)))
            cells.append(f"{samples:+.3f} samples{notes}, {ppm:+.3f} ppm")
        print(f"| {path.stem} | {' | '.join(cells)} |", flush=True)
    samples, ppms = zip(*errors, strict=True)
    for most, found, unit in ((MOST_SAMPLES, samples, "samples"), (MOST_PPM, ppms, "ppm")):
        within = sum(error <= most for error in found)
        print(f"{within} of {len(found)} within {most:g} {unit}; the farthest off by {max(found):.3f}")


def _errors(name: str, dry: Tensor, draw: random.Random) -> tuple[float, float, str]:
    """Errors of the delay in samples and of the drift in ppm, and notes on them."""
    delay, ppm = draw.uniform(-50, 3000), draw.uniform(-100, 100)
    if name in SHELF:
        wet = SHELF[name](dry, SAMPLE_RATE)
        own = align(dry, interface(wet, 0, 0, seed=draw.randrange(2**31))).delay_samples
    else:
        wet = reverb(dry, draw.randrange(2**31)) if name == "reverb" else BOXES[name](dry)
        own = 0.0
    found = align(dry, interface(wet, delay, ppm, seed=draw.randrange(2**31)))
    lost = f", jump of {found.jump_samples:+.0f}" if found.jump_samples else ""
    notes = f" (known to {2 * found.error_samples:.3f}{lost})"
    return found.delay_samples - own - delay, found.drift_ppm - ppm, notes
