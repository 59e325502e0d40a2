"""Effects with memory, each by the predictor made for it, with and without feedback (50 minutes; --rows NAME picks)."""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor

from tables.common import chosen, train

DYNAMICS = ["experiment=dynamics"]
OSCILLATOR = ["model=oscillator", "training=closed_form"]
PERIODIC = ["model=periodic_filter", "training=closed_form"]
FILTER = ["model=linear", "training=closed_form"]
BOTH, CONTROL = (True, False), (False,)
# A name, the effect, the predictor, with or without feedback, seconds of priming (None: from silence), most ESR asked.
ROWS = (
    ("compressor", "compressor", DYNAMICS, BOTH, None, 3e-4),
    ("limiter", "limiter", DYNAMICS, BOTH, None, 1e-3),
    ("feedback compressor", "feedback_compressor", DYNAMICS, BOTH, None, 1e-3),
    ("ring modulation 1 kHz", "ringmod", [*OSCILLATOR, "model.harmonics=1"], BOTH, 0.1, 1e-3),
    ("tremolo, sine", "tremolo", OSCILLATOR, BOTH, 0.5, 1e-3),
    ("tremolo, triangle", "tremolo effect.waveform=triangle", OSCILLATOR, BOTH, 0.5, 5e-3),
    ("tremolo, square", "tremolo effect.waveform=square", [*OSCILLATOR, "model.harmonics=64"], BOTH, 0.5, 2e-2),
    ("phaser 0.5 Hz", "phaser", PERIODIC, BOTH, 2.0, 2e-2),
    ("flanger 0.5 Hz", "flanger", PERIODIC, BOTH, 2.0, 2e-2),
    ("chorus", "chorus", PERIODIC, BOTH, 2.0, 1e-1),
    ("vibrato 5 Hz", "vibrato", PERIODIC, BOTH, 2.0, 1e-1),
    ("phaser 0.5 Hz, a fixed filter", "phaser", [*FILTER, "model.context_window=800"], CONTROL, 2.0, 2e-2),
    ("flanger 0.5 Hz, a fixed filter", "flanger", [*FILTER, "model.context_window=800"], CONTROL, 2.0, 2e-2),
    ("chorus, a fixed filter", "chorus", [*FILTER, "model.context_window=800"], CONTROL, 2.0, 1e-1),
    ("delay 300 ms", "delay", [*FILTER, "model.context_window=66150"], CONTROL, None, 1e-2),
    ("distortion, compressor, delay", "chain", ["study=chain"], BOTH, None, 2e-2),
    ("reverb 1.5 s", "room_reverb", [*FILTER, "model.context_window=88200"], CONTROL, None, 5e-2),
)


def run(options: argparse.Namespace) -> None:
    """Print the table, one training a row and setting of feedback."""
    effects = chosen(options.rows, (row[1].split()[0] for row in ROWS))
    runs = [(row, feedback) for row in ROWS if row[1].split()[0] in effects for feedback in row[3]]
    common = [f"data.library={options.library}", f"seed={options.seed}"]
    commands = [
        [*f"effect={effect}".split(), *predictor, f"model.feedback={str(feedback).lower()}", *common]
        for (_, effect, predictor, *_), feedback in runs
    ]
    with ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(lambda command: train(command, options.threads), commands))
    print("| effect | feedback | training | primed | ESR | asked | gain error | decay error | drift | render |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for ((name, _, _, _, primed_s, most), feedback), result in zip(runs, results, strict=True):
        test = result["test"]
        primed = next((score for score in test["primed"] if score["primed_s"] == primed_s), {"esr": test["esr"]})
        tail = test["decay"] and test["decay"]["error"]
        drift = f"{primed['drift_hz']:.1e} Hz" if "drift_hz" in primed else ""
        print(
            f"| {name} | {'with' if feedback else 'without'} | {result['train_seconds']:.0f} s "
            f"| {'' if primed_s is None else f'{primed_s} s'} | {primed['esr']:.1e} | {most:g} "
            f"| {test['gain_error_db']:.2f} dB | {'' if tail is None else f'{tail:.1e}'} | {drift} "
            f"| {test['realtime_factor']:.0f}x |"
        )
    print(f"{options.library}, seed {options.seed}, {options.threads} thread(s) a training, {options.jobs} at once")
