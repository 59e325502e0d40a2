"""Beside Neural Amp Modeler's standard WaveNet: the same songs and time, three seeds (--nam PYTHON; 16 minutes)."""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from fxemu.data.module import SongData
from fxemu.effects import Distortion
from fxemu.evaluation import metrics
from fxemu.library.pair import Pair
from tables.common import ROOT, train

SEEDS, SECONDS = (0, 1, 2), 290
OPTIONS = ["model=mlp", "effect=distortion", "loss=esr", f"trainer.max_time=00:00:{SECONDS // 60:02}:{SECONDS % 60:02}"]


def run(options: argparse.Namespace) -> None:
    """Print the errors on the test songs of both, which train side by side, one thread each."""
    if not options.nam:
        raise SystemExit("--nam: the Python of an environment with neural-amp-modeler, see scripts/nam_training.py")
    data = SongData(Distortion(), context=255)
    data.setup()
    errors = []
    for seed in SEEDS:
        with ThreadPoolExecutor(2) as pool:
            ours = pool.submit(train, [*OPTIONS, f"seed={seed}"], 1)
            theirs = pool.submit(nam_esr, options.nam, data.parts, seed)
        errors.append((ours.result()["test"]["esr"], theirs.result()))
    own, peer = zip(*errors, strict=True)
    print(f"| | {' | '.join(f'seed {seed}' for seed in SEEDS)} |\n|{'---|' * (1 + len(SEEDS))}")
    print(f"| fxemu, `{' '.join(OPTIONS[:3])}` | {' | '.join(f'{esr:.1e}' for esr in own)} |")
    print(f"| Neural Amp Modeler, standard WaveNet | {' | '.join(f'{esr:.1e}' for esr in peer)} |")
    print(f"| fxemu over Neural Amp Modeler | {' | '.join(f'{ours / theirs:.2f}' for ours, theirs in errors)} |")
    print(f"effect=distortion, {SECONDS} s and one thread a training")


def nam_esr(python: str, parts: dict[str, list[Pair]], seed: int) -> float:
    """ESR over the test songs of a WaveNet that was trained in NAM's own environment."""
    with tempfile.TemporaryDirectory() as folder:
        for part in ("train", "val"):
            for side in ("dry", "wet"):
                _write(Path(folder) / f"{part}-{side}.npy", torch.cat([getattr(pair, side) for pair in parts[part]]))
        for number, pair in enumerate(parts["test"]):
            _write(Path(folder) / f"test-{number}-dry.npy", pair.dry)
        command = [python, str(ROOT / "scripts" / "nam_training.py"), folder, str(SECONDS), str(seed)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"training in {python} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        wets = [torch.from_numpy(np.load(Path(folder) / f"test-{n}-nam.npy")) for n in range(len(parts["test"]))]
    return metrics.esr(*metrics.over_all((wet, pair.wet) for wet, pair in zip(wets, parts["test"], strict=True)))


def _write(path: Path, samples: torch.Tensor) -> None:
    np.save(path, samples.numpy())
