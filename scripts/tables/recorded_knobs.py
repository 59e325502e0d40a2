"""One model for all settings of a device that was recorded, three settings held out in turn (--recordings DEVICE).

The folder holds SETTING/{dry,wet}/CLIP, each setting named after where the knobs stood, such as at_05_th_025.
"""

from __future__ import annotations

import argparse
import csv
import re
import shutil
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fxemu.effects import Recorded
from fxemu.emulation.locate import read_model
from fxemu.evaluation.measurements.settings import at_recorded
from fxemu.library.recordings.pairs import examine
from fxemu.models.knobs import Knob, positions
from tables.common import run_training

HELD_OUT = 3
VARIANTS = {
    "default": [],
    # What the default's race has for compressors, without the race.
    "dynamics": ["experiment=dynamics", "model.knees=4", "model.taps=512"],
    "gru": ["model=gru", "loss=esr"],
    "long": ["experiment=long_segments", "model=gru", "loss=esr"],
}


def run(options: argparse.Namespace) -> None:
    """Print a row a held-out setting: the model's error, and that of the best constant gain for this very recording."""
    settings = sorted(path for path in Path(options.recordings).iterdir() if (path / "dry").is_dir())
    folds = [settings[i :: len(settings) // HELD_OUT] for i in range(len(settings) // HELD_OUT)]
    for name, words in VARIANTS.items():
        if options.rows and name not in options.rows:
            continue
        print(f"\n{name}\n\n| setting | with knobs | best gain | ratio |\n|---|---|---|---|")
        ratios = []
        for held_out in folds:
            ratios += _fold([path for path in settings if path not in held_out], held_out, words, options)
        print(f"\nmedian of the ratios {statistics.median(ratios):.2g}, worst {max(ratios):.2g}")


def _fold(trained: Sequence[Path], held_out: Sequence[Path], words: list[str], options: argparse.Namespace) -> list:
    with tempfile.TemporaryDirectory() as folder:
        train, test, target = (Path(folder) / name for name in ("train", "test", "run"))
        knobs = _gather(trained, train)
        _gather(held_out, test)
        ranges = ", ".join(f"{knob.name}: [{knob.low:g}, {knob.high:g}]" for knob in knobs)
        places = [f"effect.dry={train}/dry", f"effect.wet={train}/wet", f"knobs={{{ranges}}}", f"seed={options.seed}"]
        # Of nine recordings one to validate on and one that is reported on: the least that there can be.
        shares = ["data.val_share=0.01", "data.test_share=0.01"]
        run_training(["effect=recorded", *places, *shares, *words], options.threads, target)
        loop, rate = read_model(target)
        ratios = []
        recorded = Recorded(str(test / "dry"), str(test / "wet"))
        for dry in sorted(recorded.dry.iterdir()):
            at = positions(knobs, _values(dry.stem))
            pairs = examine(dry, recorded.wet / dry.name, rate, recorded, alike=True)[1]
            (score,) = at_recorded(loop, [], [replace(pair, knobs=at) for pair in pairs], knobs).settings
            error, gain = score.esr, score.gain_esr
            print(f"| {dry.stem} | {error:.1e} | {gain:.1e} | {error / gain:.2g} |", flush=True)
            ratios.append(error / gain)
        return ratios


def _gather(settings: Sequence[Path], target: Path) -> list[Knob]:
    """Copy recordings of settings to one folder, with a knobs.csv; the knobs, from 0 to 1."""
    rows = []
    for path in settings:
        for side in ("dry", "wet"):
            (target / side).mkdir(parents=True, exist_ok=True)
            (file,) = (path / side).iterdir()
            shutil.copyfile(file, target / side / f"{path.name}{file.suffix}")
        rows.append({"file": path.name, **_values(path.name)})
    with (target / "knobs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    names = [name for name in rows[0] if name != "file"]
    return [Knob(name, 0.0, 1.0, 0.5) for name in names]


def _values(name: str) -> dict[str, float]:
    """The values in a setting's name: 025 is 0.25, 05 is 0.5, 1 is 1."""
    return {knob: float(f"{digits[0]}.{digits[1:]}0") for knob, digits in re.findall(r"([a-z]+)_(\d+)", name)}
