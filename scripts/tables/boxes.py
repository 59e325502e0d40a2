"""Effects that no one here made: LV2 plugins of Debian (--library, --nam, --rows)."""

from __future__ import annotations

import argparse
import statistics
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from fxemu.data.module import SongData
from fxemu.effects import Command
from fxemu.training.race.heat import CUT_OFF
from tables.common import chosen, train
from tables.nam import SECONDS, nam_esr

CALF, MDA = "http://calf.sourceforge.net/plugins/", "http://drobilla.net/plugins/mda/"
INVADA, SWH = "http://invadarecords.com/plugins/lv2/", "http://plugin.org.uk/swh-plugins/"
LSP, GX = "http://lsp-plug.in/plugins/lv2/", "http://guitarix.sourceforge.net/plugins/"
TIME = f"trainer.max_time=00:00:{SECONDS // 60:02}:{SECONDS % 60:02}"


@dataclass(frozen=True)
class Box:
    """A plugin, its settings that are not the default ones, and what kind of effect it is.

    Args:
        inputs: of a plugin that moves once a call, and so must be called with blocks; lv2apply gives it samples.
    """

    kind: str
    uri: str
    settings: tuple[tuple[str, float], ...] = ()
    inputs: tuple[str, ...] = ()

    def words(self) -> list[str]:
        """The command line that runs it on a file."""
        if self.inputs:
            connections = [word for port in self.inputs for word in ("-c", f"1:{port}")]
            return ["lv2file", "-i", "{dry}", "-o", "{wet}", "-b", "256", *connections, self.uri]
        settings = [word for name, value in self.settings for word in ("-c", name, f"{value:g}")]
        return ["lv2apply", "-i", "{dry}", "-o", "{wet}", *settings, self.uri]


# The first half of each kind chooses our recipes; the second is looked at when they stand.
CHOOSE = {
    "gx_fuzzface": Box("distortion", GX + "gx_fuzzface_#_fuzzface_"),
    "calf saturator": Box("distortion", CALF + "Saturator", (("drive", 8),)),
    "mda combo": Box("distortion", MDA + "Combo"),
    "swh valve": Box("distortion", SWH + "valve", (("q_p", 0.5), ("dist_p", 0.8))),
    "calf compressor": Box("dynamics", CALF + "MonoCompressor", (("threshold", 0.05), ("ratio", 4))),
    "mda limiter": Box("dynamics", MDA + "Limiter"),
    "lsp compressor, high-passed key": Box(
        "dynamics", LSP + "compressor_mono", (("al", 0.03), ("cr", 6), ("shpm", 1), ("shpf", 200))
    ),
    "calf equaliser": Box("filter", CALF + "Equalizer5Band", (("p1_active", 1), ("p1_level", 4), ("p1_freq", 500))),
    "swh svf": Box("filter", SWH + "svf"),
    "mda delay": Box("echo", MDA + "Delay"),
    "calf reverb": Box("echo", CALF + "Reverb"),
    "calf phaser": Box("modulation", CALF + "Phaser"),
    "calf rotary": Box("modulation", CALF + "RotarySpeaker"),
    "calf pulsator": Box("modulation", CALF + "Pulsator"),
}
CHECK = {
    "calf tape": Box("distortion", CALF + "TapeSimulator", (("level_in", 4),)),
    "invada tube": Box("distortion", INVADA + "tube/mono", (("drive", 15),)),
    "mda overdrive": Box("distortion", MDA + "Overdrive", (("drive", 60),)),
    "lsp compressor": Box("dynamics", LSP + "compressor_mono", (("al", 0.03), ("cr", 6))),
    "swh gate": Box("dynamics", SWH + "gate"),
    "invada low-pass": Box("filter", INVADA + "filter/lpf/mono", (("freq", 1500),)),
    "calf filter": Box("filter", CALF + "Filter", (("freq", 1000), ("res", 4))),
    "mda ambience": Box("echo", MDA + "Ambience"),
    "swh plate": Box("echo", SWH + "plate"),
    "invada phaser": Box("modulation", INVADA + "phaser/mono"),
    "calf flanger": Box("modulation", CALF + "Flanger"),
    "mda leslie": Box("modulation", MDA + "Leslie", inputs=("left_in", "right_in")),
}
BOXES = CHOOSE | CHECK
PEER = "Neural Amp Modeler"
COLUMNS = ("box", "kind", "ours", "model", "fits took", "worst over best past", "best gain", "best FIR", PEER)


def run(options: argparse.Namespace) -> None:
    """Print a row a box: the default of `train.py` on it, beside the trivial baselines and a peer."""
    rows = chosen(options.rows, BOXES)
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    made = []
    with ThreadPoolExecutor(options.jobs) as pool:
        for cells in pool.map(lambda name: _row(name, options), rows):
            made.append(dict(zip(COLUMNS, cells, strict=True)))
            print(f"| {' | '.join(cells)} |", flush=True)
    print(f"\n{summary(made)}")


def summary(rows: list[dict[str, str]]) -> str:
    """The median error of each kind of effect, and how ours stands to the peer's."""
    scores: dict[str, list[float]] = {}
    for row in rows:
        scores.setdefault(row["kind"].partition(",")[0], []).append(float(row["ours"]))
    text = "; ".join(f"{kind}: median {statistics.median(found):.1e}" for kind, found in scores.items())
    ratios = [float(row["ours"]) / float(row[PEER]) for row in rows if row[PEER]]
    if ratios:
        text += f"\n\nover {PEER}, of {len(ratios)} boxes: geometric mean {statistics.geometric_mean(ratios):.1e}, "
        text += f"worst {max(ratios):.2f}"
    return f"{text}\n\n{SECONDS} s a training"


def _row(name: str, options: argparse.Namespace) -> list[str]:
    """Train on a box; the cells of its row."""
    words, kind = BOXES[name].words(), BOXES[name].kind + (", to check" if name in CHECK else "")
    command = ",".join(f"'{word}'" for word in words)
    source = ["effect=command", f"effect.command=[{command}]", f"data.library={options.library}"]
    result = train([*source, TIME, f"seed={options.seed}"], options.threads)
    peer = _peer(words, options) if options.nam else None
    test, past = result["test"], (result["test"].get("contraction") or {}).get("model", {})
    errors = test["esr"], test["baselines"]["gain"]["esr"], test["baselines"]["fir"]["esr"], peer
    ours, gain, fir, theirs = ("" if error is None else f"{error:.1e}" for error in errors)
    return [
        name,
        kind,
        ours,
        result["race"]["winner"],
        f"{fits_s(result['race']['rows']):.0f} s",
        f"{past['worst_over_best']:.2f}" if past else "none",
        gain,
        fir,
        theirs,
    ]


def fits_s(rows: list[dict[str, Any]]) -> float:
    """Seconds that a race's fits took; of those that were cut off each has the seconds of all together."""
    fits = [row for row in rows if row["round"] == 0]
    cut = [row["seconds"] for row in fits if row["error"] == CUT_OFF]
    return max([sum(row["seconds"] for row in fits) - sum(cut), *cut])


def _peer(words: list[str], options: argparse.Namespace) -> float:
    """ESR of Neural Amp Modeler's standard training on the same songs in the same time."""
    data = SongData(Command(words), context=255, library=options.library)
    data.setup()
    return nam_esr(options.nam, data.parts, options.seed)
