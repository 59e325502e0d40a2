"""What `fxemu look` says an effect is, against what it is (--library, --recordings, --rows)."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor

from fxemu.effects import Command, Effect
from fxemu.evaluation.diagnosis import diagnose
from fxemu.library import list_audio_files, read_audio_normalized
from tables.boxes import CHECK, CHOOSE
from tables.common import chosen

RATE, SECONDS = 44_100, 40
CONF = Path(__file__).resolve().parents[2] / "conf"
# Kind, and the main figure with its true value, of the effects of the shelf in their default settings.
SHELF = {
    "lowpass": ("filter", "high_cut_hz", 1000),
    "highpass": ("filter", "low_cut_hz", 300),
    "bandpass": ("filter", "high_cut_hz", 1281),
    "resonant_lowpass": ("filter", "peak_hz", 800),
    "parametric_eq": ("filter", "peak_hz", 800),
    "convolution": ("filter", "", 0),
    "passthrough": ("filter", "", 0),
    "tanh": ("distortion", "", 0),
    "overdrive": ("distortion", "", 0),
    "distortion": ("distortion", "", 0),
    "fuzz": ("distortion", "", 0),
    "tube": ("distortion", "", 0),
    "wavefolder": ("distortion", "", 0),
    "hysteresis": ("distortion", "", 0),
    "bitcrusher": ("digital", "rate_hz", 11_025),
    "compressor": ("dynamics", "threshold_db", -24),
    "feedback_compressor": ("dynamics", "threshold_db", -24),
    "limiter": ("dynamics", "threshold_db", -15),
    "expander": ("dynamics", "threshold_db", -30),
    "gate": ("dynamics", "threshold_db", -40),
    "delay": ("echo", "echo_ms", 300),
    "slapback": ("echo", "echo_ms", 110),
    "room_reverb": ("reverb", "decay_s", 1.5),
    "plate_reverb": ("reverb", "decay_s", 1.5),
    "spring_reverb": ("reverb", "decay_s", 1.5),
    "tremolo": ("oscillator", "rate_hz", 5),
    "ringmod": ("oscillator", "rate_hz", 1000),
    "chorus": ("periodic filter", "rate_hz", 0.8),
    "flanger": ("periodic filter", "rate_hz", 0.5),
    "phaser": ("periodic filter", "rate_hz", 0.5),
    "vibrato": ("periodic filter", "rate_hz", 5),
    "wah": ("periodic filter", "rate_hz", 1.5),
    "autowah": ("following filter", "", 0),
}
HALVES = {"shelf": SHELF, "choose": CHOOSE, "check": CHECK}
# Kinds of `boxes` as those of a diagnosis.
SAME = {"echo": ("echo", "reverb"), "modulation": ("periodic filter", "oscillator")}
NEAR = 0.3  # of a figure that counts as right, or of 12 dB


def run(options: argparse.Namespace) -> None:
    """Print a row an effect, and how many were right."""
    torch.set_num_threads(options.threads)
    songs = {str(path): _song(path) for path in list_audio_files(options.library)[:2]}
    recordings = sorted(Path(options.recordings).glob("*/*/dry")) if options.recordings else []
    rows = chosen(options.rows, [*SHELF, *CHOOSE, *CHECK, *(str(place) for place in recordings)])
    right: dict[str, list] = {half: [] for half in (*HALVES, "hardware")}
    print("| effect | is | said to be | kind | figure | s |")
    print("|---|---|---|---|---|---|")
    for name in rows:
        half = next(
            (n for n, some in (("shelf", SHELF), ("choose", CHOOSE), ("check", CHECK)) if name in some), "hardware"
        )
        kind, figure, value = SHELF.get(name) or (_kind(name), "", 0)
        for dry, wet in _pairs(name, songs):
            began = time.process_time()
            found = diagnose(dry, wet, RATE)
            spent = time.process_time() - began
            is_right = found.kind in SAME.get(kind, (kind,)) if half != "shelf" else found.kind == kind
            shown, near = _compared(found.figures.get(figure), value, figure)
            right[half].append((is_right, near))
            truth = f"{kind}{f', {figure} {value:g}' if figure else ''}"
            print(
                f"| {name} | {truth} | {found.sentence} | {'yes' if is_right else 'no'} | {shown} | {spent:.0f} |",
                flush=True,
            )
    for half, scores in right.items():
        if scores:
            figures = [near for _, near in scores if near is not None]
            told = f"{sum(is_right for is_right, _ in scores)} of {len(scores)} kinds"
            print(f"{half}: {told}, {sum(figures)} of {len(figures)} figures are right")


def _kind(name: str) -> str:
    return (CHOOSE | CHECK)[name].kind if name in CHOOSE | CHECK else "distortion" if "diode" in name else "dynamics"


def _compared(found: float | None, value: float, figure: str) -> tuple[str, bool | None]:
    """A figure that was found as it is shown, and whether it is near its true value; None where there is none."""
    if not figure:
        return "", None
    if found is None:
        return "none", False
    margin = NEAR * (12 if figure.endswith("_db") else abs(value))
    return f"{found:.3g}", abs(found - value) <= margin


def _song(path: Path) -> Tensor:
    return torch.as_tensor(read_audio_normalized(path)).flatten()[: SECONDS * RATE].float()


def _pairs(name: str, songs: dict[str, Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    if name not in SHELF and name not in CHOOSE | CHECK:
        for dry in sorted(Path(name).iterdir())[:1]:
            yield _song(dry), _song(Path(name).parent / "wet" / dry.name)
        return
    effect = _effect(name)
    for song in songs.values():
        yield song, effect(song, RATE)


def _effect(name: str) -> Effect:
    if name not in SHELF:
        return Command((CHOOSE | CHECK)[name].words())
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return instantiate(compose("train", overrides=[f"effect={name}"]).effect)
