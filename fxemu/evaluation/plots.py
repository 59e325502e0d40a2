"""Plots of an emulation: target, prediction and error of a song, errors by level and over training, its windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from fxemu.engine.plan import DRY, WET, Layer, Plan
from fxemu.evaluation.metrics import samples_to_divergence
from fxemu.evaluation.scores import RaceRow
from fxemu.models.knobs import Knob

FLOOR_DB = -100.0
WINDOW_TAPS, SHOWN_UNITS = 8, 8
ESR_FLOOR = 1e-12  # a perfect score has no place on a logarithmic axis


def waveform(dry: Tensor, target: Tensor, prediction: Tensor, sample_rate: int, limit: float) -> Figure:
    """Target and prediction, 20 ms around the loudest moment, with the error."""
    middle = int(target.abs().argmax())
    half = sample_rate // 100
    part = slice(max(0, middle - half), middle + half)
    figure, axes = _figure("time (ms)", "amplitude")
    time = torch.arange(target[part].numel()) * 1000 / sample_rate
    axes.plot(time, target[part], label="target", color="black")
    axes.plot(time, prediction[part], "--", label="prediction", color="tab:orange")
    axes.plot(time, prediction[part] - target[part], label="error", color="tab:red", linewidth=0.8)
    axes.legend(loc="upper right")
    return figure


def spectrograms(dry: Tensor, target: Tensor, prediction: Tensor, sample_rate: int, limit: float) -> Figure:
    """Magnitudes in dB of target, prediction and their difference over the whole song."""
    figure = Figure(figsize=(9, 8), layout="constrained")
    rows = figure.subplots(3, sharex=True)
    signals = {"target": target, "prediction": prediction, "difference": prediction - target}
    for axes, (name, signal) in zip(rows, signals.items(), strict=True):
        spectrum = torch.stft(signal, 1024, 512, window=torch.hann_window(1024), return_complex=True).abs()
        level_db = 20 * (spectrum / 512).clamp_min(10 ** (FLOOR_DB / 20)).log10()
        extent = (0, signal.numel() / sample_rate, 0, sample_rate / 2000)
        image = axes.imshow(level_db, origin="lower", aspect="auto", extent=extent, vmin=FLOOR_DB, vmax=0)
        axes.set(title=name, ylabel="frequency (kHz)")
    rows[-1].set_xlabel("time (s)")
    figure.colorbar(image, ax=rows, label="dB")
    return figure


def transfer_curve(dry: Tensor, target: Tensor, prediction: Tensor, sample_rate: int, limit: float) -> Figure:
    """Output against input, sample by sample: a line for a memoryless effect, a cloud for one with memory."""
    figure, axes = _figure("dry", "wet")
    step = max(1, dry.numel() // 20_000)
    axes.plot(dry[::step], target[::step], ".", markersize=1.5, label="target", color="black")
    axes.plot(dry[::step], prediction[::step], ".", markersize=1.0, label="prediction", color="tab:orange")
    axes.legend(loc="upper left", markerscale=6)
    return figure


def error_over_time(dry: Tensor, target: Tensor, prediction: Tensor, sample_rate: int, limit: float) -> Figure:
    """Level of target and error in dB, over tenths of a second: a free run that drifts shows here, or diverges."""
    figure, axes = _figure("time (s)", "RMS level (dB)")
    size = min(sample_rate // 10, target.numel())
    for name, signal, colour in (("target", target, "black"), ("error", prediction - target, "tab:red")):
        blocks = signal[: signal.numel() // size * size].view(-1, size)
        level_db = 20 * blocks.square().mean(-1).sqrt().clamp_min(10 ** (FLOOR_DB / 20)).log10()
        axes.plot(torch.arange(len(blocks)) * size / sample_rate, level_db, label=name, color=colour)
    if (diverged_at := samples_to_divergence(prediction, limit)) is not None:
        axes.axvline(diverged_at / sample_rate, color="tab:red", linestyle="--", label="diverges")
    axes.legend(loc="upper right")
    return figure


PLOTS: dict[str, Callable[[Tensor, Tensor, Tensor, int, float], Figure]] = {
    "waveform": waveform,
    "spectrograms": spectrograms,
    "transfer_curve": transfer_curve,
    "error_over_time": error_over_time,
}


def level_curves(curves: Mapping[str, Mapping[float, float]]) -> Figure:
    """Free-run ESR against the input's level in dBFS, a line for each name; lower values are drawn at ESR_FLOOR."""
    figure, axes = _figure("input level (dBFS peak)", "ESR")
    for name, curve in curves.items():
        esr = [max(curve[level], ESR_FLOOR) for level in curve]
        axes.semilogy(list(curve), esr, "o-", label=name.replace("$", r"\$"))
    axes.legend(fontsize="small")
    return figure


def setting_errors(knobs: Sequence[Knob], errors: Sequence[tuple[Mapping[str, float], float, float]]) -> Figure:
    """ESR at settings that were not trained at: over each knob and, of two or more, as a map of the first two.

    Args:
        knobs: of the model.
        errors: the values of the knobs by name, the ESR there, and that of the nearest setting trained at.
    """
    panels = len(knobs) + (len(knobs) > 1)
    columns = min(panels, 3)
    rows = -(-panels // columns)
    figure = Figure(figsize=(4.5 * columns, 3.6 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).flat
    at = {knob.name: [setting[knob.name] for setting, *_ in errors] for knob in knobs}
    esr, nearest = ([max(both[i], ESR_FLOOR) for _, *both in errors] for i in (0, 1))
    for axes, knob in zip(grid, knobs, strict=False):
        axes.semilogy(at[knob.name], nearest, "x", color="gray", label="at the nearest setting trained at")
        axes.semilogy(at[knob.name], esr, "o", color="tab:red", label="model")
        _scaled(axes, "x", knob)
        axes.set_ylabel("ESR")
    grid[0].legend(fontsize="small")
    if len(knobs) > 1:
        across, up = knobs[:2]
        dots = grid[len(knobs)].scatter(at[across.name], at[up.name], c=esr, norm="log", cmap="viridis_r", s=80)
        _scaled(grid[len(knobs)], "x", across)
        _scaled(grid[len(knobs)], "y", up)
        figure.colorbar(dots, ax=grid[len(knobs)], label="ESR")
    for axes in grid[panels:]:
        axes.remove()
    return figure


def _scaled(axes: Axes, axis: str, knob: Knob) -> None:
    """Label an axis, x or y, with a knob, and scale it as the knob turns."""
    label = f"{knob.name} ({knob.unit})" if knob.unit else knob.name
    axes.set(**{f"{axis}label": label, f"{axis}scale": "log" if knob.by_ratio else "linear"})
    ticks = [knob.value(position) for position in (-1, -0.5, 0, 0.5, 1)]
    axes.set(
        **{f"{axis}lim": (knob.low, knob.high), f"{axis}ticks": ticks, f"{axis}ticklabels": [f"{t:.4g}" for t in ticks]}
    )
    getattr(axes, f"{axis}axis").set_tick_params(
        which="minor", bottom=False, left=False, labelbottom=False, labelleft=False
    )
    axes.grid(alpha=0.3)


def contraction_curves(apart: Mapping[str, Tensor], block_s: float = 0.01) -> Figure:
    """Distance between free runs from different pasts: a line for each past, where it is worst.

    Args:
        apart: power of the difference over the target's (stretches, pasts, blocks), of the model and of the effect.
        block_s: seconds a block.
    """
    figure, axes = _figure("time after the past (s)", "difference over target (dB)")
    for (name, power), style in zip(apart.items(), (("tab:orange", "-"), ("black", "--")), strict=False):
        level_db = 10 * power.amax(0).clamp_min(10 ** (2 * FLOOR_DB / 10)).log10()
        time = block_s * torch.arange(1, level_db.shape[-1] + 1)
        for i, line in enumerate(level_db):
            axes.plot(time, line, style[1], color=style[0], linewidth=0.8, label=None if i else name)
    axes.set_xscale("log")
    axes.legend(loc="upper right")
    return figure


def training_curve(validations: list[tuple[int, float, float]]) -> Figure:
    """Free-run and teacher-forced ESR over training: (step, free, forced) of each validation."""
    figure, axes = _figure("optimizer step", "ESR, validation songs")
    steps, free, forced = zip(*validations, strict=True)
    axes.semilogy(steps, free, "o-", markersize=3, color="tab:red", label="free run")
    axes.semilogy(steps, forced, "o-", markersize=3, color="tab:gray", label="teacher forced")
    axes.legend(loc="upper right")
    return figure


def race_curve(rows: Sequence[RaceRow]) -> Figure:
    """Error of each candidate of a race against the seconds that it had trained."""
    figure, axes = _figure("seconds of training", "ESR, validation songs")
    for name in dict.fromkeys(row.name for row in rows):
        reached = [row for row in rows if row.name == name and row.esr is not None]
        seconds = accumulate(row.seconds for row in reached)
        axes.loglog([*seconds], [max(row.esr, ESR_FLOOR) for row in reached], "o-", markersize=3, label=name)
    axes.legend(loc="upper right")
    return figure


def first_layer(plan: Plan, sample_rate: int) -> Figure | None:
    """Learned windows over dry and wet: impulse responses of the strongest units, and their spectra.

    None for a predictor whose first layers have no window of `WINDOW_TAPS` samples or more.
    """
    windows = _windows(plan)
    if not windows:
        return None
    figure = Figure(figsize=(9, 3.5 * len(windows)), layout="constrained")
    for (name, weight), (left, right) in zip(windows, figure.subplots(len(windows), 2, squeeze=False), strict=True):
        filters = weight.flatten(0, 1)
        strongest = filters[filters.square().sum(-1).argsort(descending=True)[:SHOWN_UNITS]].flip(-1)
        spectrum = torch.fft.rfft(strongest, max(1024, strongest.shape[-1])).abs()
        frequency = torch.linspace(0, sample_rate / 2000, spectrum.shape[-1])
        left.plot(torch.arange(strongest.shape[-1]) * 1000 / sample_rate, strongest.T, linewidth=0.8)
        left.set(title=f"window over {name}", xlabel="time back (ms)", ylabel="weight")
        right.plot(frequency, 20 * spectrum.clamp_min(10 ** (FLOOR_DB / 20)).log10().T, linewidth=0.8)
        right.set(xlabel="frequency (kHz)", ylabel="gain (dB)", xlim=(0, sample_rate / 2000))
        for axes in (left, right):
            axes.grid(alpha=0.3)
    return figure


def _windows(plan: Plan) -> list[tuple[str, Tensor]]:
    """The long windows over dry and over wet samples, or over what one sample alone becomes: (U, W, N) each."""
    origin = {DRY: "dry", WET: "wet"}
    windows = []
    for value, step in plan.values():
        sources = {origin.get(source) for source in step.spans()}
        if len(sources) == 1 and not any(step.spans().values()):
            origin[value] = sources.pop()
        elif isinstance(step, Layer):
            long = (term for term in step.terms if term.weight.shape[-1] >= WINDOW_TAPS and term.dilation == 1)
            windows += [(origin[t.source], t.weight.detach().cpu()) for t in long if origin.get(t.source)]
    return windows


def _figure(x: str, y: str):
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    return figure, axes
