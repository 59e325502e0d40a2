"""Recordings of real hardware, the last clip of a setting or its only one's end held out (--recordings, --nam, --rows).

The folder holds DEVICE/SETTING/{dry,wet}/CLIP.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from torch import Tensor

from fxemu.data.module import SongData
from fxemu.effects import Recorded
from fxemu.emulation.locate import read_model
from fxemu.engine.streaming.stream import render_many
from fxemu.evaluation import metrics
from fxemu.evaluation.baselines import best_gain
from fxemu.library.pair import Pair
from fxemu.library.recordings.pairs import read_recordings
from fxemu.library.songs import PARTS
from tables.boxes import PEER, SECONDS, TIME
from tables.common import chosen, run_training
from tables.nam import nam_esr

COLUMNS = ("device", "ours", "model", "best gain", "ours over the best gain", PEER)


def run(options: argparse.Namespace) -> None:
    """Print a row a setting: the default of `train.py`, beside the best gain for this very audio and the peer."""
    places = {f"{path.parts[-2]} {path.name}": path for path in sorted(Path(options.recordings).glob("*/*"))}
    rows = chosen(options.rows, places)
    with ThreadPoolExecutor(options.jobs) as pool:
        # All of them before the table, which what is said of the recordings would cut into pieces.
        found = [*pool.map(lambda name: _cells(places[name], options), rows)]
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for name, cells in zip(rows, found, strict=True):
        print(f"| {name} | {' | '.join(cells)} |")
    print(f"\n{SECONDS} s a training")


def _cells(place: Path, options: argparse.Namespace) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        train, test, target = (Path(folder) / name for name in ("train", "test", "run"))
        *clips, last = sorted(path.name for path in (place / "dry").iterdir())
        for part, names in ((train, clips or [last]), (test, [last] if clips else [])):
            for side in ("dry", "wet"):
                (part / side).mkdir(parents=True)
                for name in names:
                    shutil.copyfile(place / side / name, part / side / name)
        run_training([*_recorded(train), TIME, f"seed={options.seed}"], options.threads, target)
        loop, rate = read_model(target)
        winner = json.loads((target / "metrics.json").read_text())["race"]["winner"]
        parts = _parts(train)
        pairs = _read(test, rate) if clips else parts["test"]
        peer = f"{nam_esr(options.nam, parts | {'test': pairs}, options.seed):.1e}" if options.nam else ""
    gain = best_gain([(pair.dry, pair.wet) for pair in pairs])
    ours = _esr(render_many(loop, [pair.dry for pair in pairs]), pairs)
    best = _esr([gain(pair.dry, pair.wet) for pair in pairs], pairs)
    return [f"{ours:.1e}", winner, f"{best:.1e}", f"{ours / best:.2g}", peer]


def _recorded(part: Path) -> list[str]:
    return ["effect=recorded", f"dry={part / 'dry'}", f"wet={part / 'wet'}"]


def _read(part: Path, sample_rate: int) -> list[Pair]:
    """The usable stretches of all recordings in a folder."""
    found = read_recordings(Recorded(str(part / "dry"), str(part / "wet")), sample_rate)
    return [pair for pairs in found.values() for pair in pairs]


def _parts(part: Path) -> dict[str, list[Pair]]:
    """Recordings as a training splits them: a single one in time, so that its end is reported on."""
    data = SongData(Recorded(str(part / "dry"), str(part / "wet")), context=1)
    data.setup()
    return {name: data.parts[name] for name in PARTS}


def _esr(predictions: Sequence[Tensor], pairs: Sequence[Pair]) -> float:
    return metrics.esr(*metrics.over_all(zip(predictions, (pair.wet for pair in pairs), strict=True)))
