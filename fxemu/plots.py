"""Pictures of an emulation of one song: what it sounds like next to the real thing, and where it is wrong."""

from __future__ import annotations

from collections.abc import Callable

import torch
from matplotlib.figure import Figure
from torch import Tensor

FLOOR_DB = -100.0


def waveform(dry: Tensor, target: Tensor, prediction: Tensor, sample_rate: int) -> Figure:
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


def spectrograms(dry: Tensor, target: Tensor, prediction: Tensor, sample_rate: int) -> Figure:
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


def transfer_curve(dry: Tensor, target: Tensor, prediction: Tensor, sample_rate: int) -> Figure:
    """Output against input, sample by sample: a line for a memoryless effect, a cloud for one with memory."""
    figure, axes = _figure("dry", "wet")
    step = max(1, dry.numel() // 20_000)
    axes.plot(dry[::step], target[::step], ".", markersize=1.5, label="target", color="black")
    axes.plot(dry[::step], prediction[::step], ".", markersize=1.0, label="prediction", color="tab:orange")
    axes.legend(loc="upper left", markerscale=6)
    return figure


def error_over_time(dry: Tensor, target: Tensor, prediction: Tensor, sample_rate: int) -> Figure:
    """Level of target and error in dB, over tenths of a second: a free run that drifts shows here."""
    figure, axes = _figure("time (s)", "RMS level (dB)")
    size = min(sample_rate // 10, target.numel())
    for name, signal, colour in (("target", target, "black"), ("error", prediction - target, "tab:red")):
        blocks = signal[: signal.numel() // size * size].view(-1, size)
        level_db = 20 * blocks.square().mean(-1).sqrt().clamp_min(10 ** (FLOOR_DB / 20)).log10()
        axes.plot(torch.arange(len(blocks)) * size / sample_rate, level_db, label=name, color=colour)
    axes.legend(loc="upper right")
    return figure


PLOTS: dict[str, Callable[[Tensor, Tensor, Tensor, int], Figure]] = {
    "waveform": waveform,
    "spectrograms": spectrograms,
    "transfer_curve": transfer_curve,
    "error_over_time": error_over_time,
}


def level_curve(levels_db: list[float], esr: list[float]) -> Figure:
    """Free-run ESR against the level of the input."""
    figure, axes = _figure("input level (dBFS peak)", "ESR")
    axes.semilogy(levels_db, esr, "o-", color="tab:red")
    axes.set_xticks(levels_db)
    return figure


def _figure(x: str, y: str):
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    return figure, axes
