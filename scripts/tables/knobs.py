"""One model for all settings of two knobs beside nets of their own for each, and what knobs cost in rendering."""

from __future__ import annotations

import argparse
import ctypes
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from fxemu.engine.plan import PERIOD
from fxemu.engine.streaming.stream import Stream, render
from fxemu.models import GRU, MLP
from fxemu.models.closed_loop import ClosedLoop
from fxemu.models.knobs import Knob
from fxemu.representations import Raw
from fxemu.runtimes.base import Model
from fxemu.runtimes.c import source
from tables.common import SAMPLE_RATE, chosen, fastest, one_thread, train
from tables.export_c import compiled, pointers

# Each with the options of its trainings and its knobs; `--rows render` is the cost of knobs.
BOXES = {
    "distortion": (["effect=distortion", "model=gru", "loss=esr"], {"drive_db": (0, 40), "lowpass_hz": (500, 8000)}),
    "compressor": (["effect=compressor", "model=gru", "loss=esr"], {"threshold_db": (-40, 0), "ratio": (1, 20)}),
    "tremolo": (["effect=tremolo", "model=gru", "loss=esr"], {"rate_hz": (1, 10), "depth": (0, 1)}),
}
OWN = 3  # settings that get a net of their own: the best, the median and the worst of the model with knobs


def run(options: argparse.Namespace) -> None:
    rows = chosen(options.rows, ["render", *BOXES])
    if "render" in rows:
        _rendering()
    for name in rows:
        if name in BOXES:
            _trainings(name, *BOXES[name], options.threads)


def _trainings(name: str, words: list[str], ranges: dict[str, tuple[float, float]], threads: int) -> None:
    found = train([*words, f"knobs={{{spans(ranges)}}}"], threads)["test"]["knobs"]
    settings = found["settings"]
    print(f"\n{name}, {{{spans(ranges)}}}: ESR at {len(settings)} settings that were not trained at, median "
          f"{found['esr_median']:.1e}, worst {found['esr_worst']:.1e}\n")  # fmt: skip
    print("| setting | with knobs | a net of its own | ratio |\n|---|---|---|---|")
    ratios = []
    for setting in (settings[0], settings[len(settings) // 2], settings[-1])[:OWN]:
        own = train([*words, *(f"effect.{knob}={value}" for knob, value in setting["values"].items())], threads)["test"]
        ratios.append(setting["esr"] / own["esr"])
        at = ", ".join(f"{knob} {value:.4g}" for knob, value in setting["values"].items())
        print(f"| {at} | {setting['esr']:.1e} | {own['esr']:.1e} | {ratios[-1]:.2g} |")
    print(f"\nmedian of the ratios {statistics.median(ratios):.2g}, worst {max(ratios):.2g}")


def spans(ranges: dict[str, tuple[float, float]]) -> str:
    """Ranges as the option `knobs` takes them, without its braces."""
    return ", ".join(f"{knob}: [{low}, {high}]" for knob, (low, high) in ranges.items())


def _rendering() -> None:
    """Print the times of a render of 10 s without knobs, with two, standing and moving; and of the exported C."""
    one_thread()
    knobs = Knob("drive_db", 0.0, 40.0, 20.0), Knob("lowpass_hz", 500.0, 8000.0, 2000.0)
    dry = torch.rand(10 * SAMPLE_RATE) - 0.5
    turned = torch.linspace(-1, 1, -(-dry.numel() // PERIOD)).expand(2, -1)
    print("| net | without knobs | two that stand still | two that move | C, with two over without |")
    print("|---|---|---|---|---|")
    for name, predictor in (("mlp", MLP), ("gru", GRU)):
        torch.manual_seed(0)
        plain, with_knobs = (ClosedLoop(predictor(1, 1), Raw(), Raw(), own) for own in ((), knobs))
        still = with_knobs.at(torch.tensor([0.3, -0.3]))
        runs = (
            lambda loop=plain: render(loop, dry),
            lambda loop=still: render(loop, dry),
            lambda loop=with_knobs: Stream(loop).process(dry, knobs=turned),
            *(_in_c(loop, dry) for loop in (plain, with_knobs)),
        )
        own, standing, moving, c, c_moving = fastest(*runs, clock=time.thread_time)
        speed = f"1 ({10 / own:.0f}x real time)"
        print(f"| {name} | {speed} | {standing / own:.2f} | {moving / own:.2f} | {c_moving / c:.2f} |", flush=True)


def _in_c(loop: ClosedLoop, dry: Tensor) -> Callable[[], None]:
    library, state = compiled(source(Model(loop, SAMPLE_RATE, "it"))[1]), ctypes.create_string_buffer(8_000_000)
    library.it_init(state)
    wet = torch.empty_like(dry)
    return lambda: library.play(state, *pointers(dry, wet), dry.numel())
