"""The default on every effect of the shelf, beside the command that README names for it (--rows; 12 minutes a row)."""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor

from tables.boxes import SECONDS, TIME
from tables.common import ROOT, chosen, train
from tables.effects import NOT_HERE

GRU = ["experiment=long_segments", "model=gru", "loss=esr"]
FILTER = ["model=linear", "model.feedback=false", "model.context_window=66150", "training=closed_form"]
DYNAMICS = ["experiment=dynamics"]
OSCILLATOR = ["model=oscillator", "training=closed_form"]
PERIODIC = ["model=periodic_filter", "training=closed_form"]
NAMED = (
    (GRU, "bitcrusher distortion fuzz hysteresis overdrive parallel tanh tube wavefolder"),
    (FILTER, "bandpass convolution delay highpass lowpass parametric_eq passthrough plate_reverb resonant_lowpass"),
    (FILTER, "room_reverb slapback spring_reverb"),
    (DYNAMICS, "compressor expander feedback_compressor gate limiter"),
    (OSCILLATOR, "ringmod tremolo"),
    (PERIODIC, "chorus flanger phaser vibrato wah"),
    (["experiment=octave_gain"], "autowah chain"),
)
BY_NAME = {effect: options for options, effects in NAMED for effect in effects.split()}
COLUMNS = ("effect", "the default", "model", "by name", "options", "the default over by name")
MOST = 2.0
# Added to both errors: what is 100 dB below the signal is as good.
LEAST_ESR = 1e-10


def run(options: argparse.Namespace) -> None:
    """Print a row an effect: the errors of both trainings, of the same time each, and their ratio."""
    names = chosen(options.rows, sorted(BY_NAME))
    if missing := set(_shelf()) ^ set(BY_NAME):
        raise SystemExit(f"shelf: no command by name for {sorted(missing)}")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    ratios = {}
    with ThreadPoolExecutor(options.jobs) as pool:
        for name, cells, ratio in pool.map(lambda name: _row(name, options), names):
            ratios[name] = ratio
            print(f"| {' | '.join((name, *cells))} |", flush=True)
    beyond = [name for name, ratio in ratios.items() if ratio > MOST]
    print(f"\nworst ratio {max(ratios.values()):.2g}; above {MOST:g} (asked: none): {', '.join(beyond) or 'none'}")
    print(f"{SECONDS} s a training, seed {options.seed}, songs of {options.library}")


def _shelf() -> list[str]:
    """The effects that come with fxemu."""
    return [path.stem for path in (ROOT / "conf" / "effect").glob("*.yaml") if path.stem not in NOT_HERE]


def _row(name: str, options: argparse.Namespace) -> tuple[str, list[str], float]:
    common = [f"effect={name}", TIME, f"seed={options.seed}", f"data.library={options.library}"]
    default, named = (train([*common, *more], options.threads) for more in ([], BY_NAME[name]))
    errors = [result["test"]["esr"] for result in (default, named)]
    ratio = (errors[0] + LEAST_ESR) / (errors[1] + LEAST_ESR)
    cells = [f"{errors[0]:.1e}", default["race"]["winner"], f"{errors[1]:.1e}", f"`{' '.join(BY_NAME[name])}`"]
    return name, [*cells, f"{ratio:.2g}"], ratio
