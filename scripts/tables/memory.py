"""Effects with memory, each by the predictor made for it, with and without feedback (50 minutes; --rows NAME picks)."""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor

from tables.common import chosen, train

DYNAMICS = ["experiment=dynamics"]
OSCILLATOR = ["model=oscillator", "training=closed_form"]
PERIODIC = ["model=periodic_filter", "training=closed_form"]
FILTER = ["model=linear", "training=closed_form"]
FIXED = [*FILTER, "model.context_window=800"]
# A name, the effect, the predictor, another control, seconds of priming (None: from silence), most ESR asked.
ROWS = (
    ("compressor", "compressor", DYNAMICS, None, None, 3e-4),
    ("limiter", "limiter", DYNAMICS, None, None, 1e-3),
    ("feedback compressor", "feedback_compressor", DYNAMICS, None, None, 1e-3),
    ("ring modulation 1 kHz", "ringmod", [*OSCILLATOR, "model.harmonics=1"], None, 0.1, 1e-3),
    ("tremolo, sine", "tremolo", OSCILLATOR, None, 0.5, 1e-3),
    ("tremolo, triangle", "tremolo effect.waveform=triangle", OSCILLATOR, None, 0.5, 5e-3),
    ("tremolo, square", "tremolo effect.waveform=square", [*OSCILLATOR, "model.harmonics=64"], None, 0.5, 2e-2),
    ("phaser 0.5 Hz", "phaser", PERIODIC, FIXED, 2.0, 2e-2),
    ("flanger 0.5 Hz", "flanger", PERIODIC, FIXED, 2.0, 2e-2),
    ("chorus", "chorus", PERIODIC, FIXED, 2.0, 1e-1),
    ("vibrato 5 Hz", "vibrato", PERIODIC, None, 2.0, 1e-1),
    ("delay 300 ms", "delay", [*FILTER, "model.context_window=66150"], None, None, 1e-2),
    ("distortion, compressor and delay in a row (`study=chain`)", "chain", ["study=chain"], None, None, 2e-2),
    ("reverb 1.5 s", "room_reverb", [*FILTER, "model.context_window=88200"], None, None, 5e-2),
)


def run(options: argparse.Namespace) -> None:
    """Print the table, a row an effect; without feedback the better one of the controls."""
    effects = chosen(options.rows, (row[1].split()[0] for row in ROWS))
    rows = [row for row in ROWS if row[1].split()[0] in effects]
    common = [f"data.library={options.library}", f"seed={options.seed}"]
    with ThreadPoolExecutor(options.jobs) as pool:
        trained = [
            [
                pool.submit(train, [*f"effect={effect}".split(), *setting, *common], options.threads)
                for setting in _settings(predictor, control)
            ]
            for _, effect, predictor, control, *_ in rows
        ]
        results = [[run.result()["test"] for run in runs] for runs in trained]
    print("| effect | with feedback | without | asked | drift | render |\n|---|---|---|---|---|---|")
    for (name, _, predictor, _, primed_s, most), tests in zip(rows, results, strict=True):
        primed = [_primed(test, primed_s) for test in tests]
        fed = f"{primed[0]['esr']:.1e}" if len(tests) > 1 else ""
        least = min(scores["esr"] for scores in primed[min(1, len(tests) - 1) :])
        drift = f"{primed[0]['drift_hz']:.1e} Hz" if "drift_hz" in primed[0] else ""
        label, rate = _label(name, predictor, primed_s, tests[0]), f"{tests[0]['realtime_factor']:.0f}x"
        print(f"| {label} | {fed} | {least:.1e} | {most:g} | {drift} | {rate} |")
    print(f"{options.library}, seed {options.seed}, {options.threads} thread(s) a training, {options.jobs} at once")


def _settings(predictor: list[str], control: list[str] | None) -> list[list[str]]:
    """Options of the runs of a row: with feedback, unless it is a filter, and those without."""
    fed = [] if predictor[: len(FILTER)] == FILTER else [[*predictor, "model.feedback=true"]]
    return [*fed, *([*options, "model.feedback=false"] for options in (predictor, control) if options)]


def _primed(test: dict, primed_s: float | None) -> dict:
    """The scores after so long a priming; those from silence where there is none."""
    return next((score for score in test["primed"] if score["primed_s"] == primed_s), {"esr": test["esr"]})


def _label(name: str, predictor: list[str], primed_s: float | None, test: dict) -> str:
    """The name of a row, with how it was primed, or how well its gain curve or its decay is met."""
    if primed_s is not None:
        return f"{name}, after {primed_s:g} s of priming"
    if predictor == DYNAMICS:
        return f"{name} (gain curve within {test['gain_error_db']:.3f} dB)"
    return f"{name} (decay time within {test['decay']['error']:.1g})" if name.startswith("reverb") else name
