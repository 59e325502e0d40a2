"""The picture of a diagnosis: the response, the level of wet against that of dry, and wet against dry."""

from __future__ import annotations

from matplotlib.figure import Figure
from torch import Tensor

from fxemu.evaluation.diagnosis.level import BLOCK_S
from fxemu.evaluation.diagnosis.response import response_db

QUIET = 1e-4


def picture(taps: Tensor, dry: Tensor, wet: Tensor, sample_rate: int) -> Figure:
    """Three plots of a box.

    Args:
        taps: of the best fixed filter, (N,).
        dry, wet: an excerpt, (samples,) each.
        sample_rate: in Hz.
    """
    figure = Figure(figsize=(12, 4), layout="constrained")
    response, level, curve = figure.subplots(1, 3)
    response.semilogx(*response_db(taps, dry.double(), sample_rate))
    response.set(title="best fixed filter", xlabel="frequency (Hz)", ylabel="gain (dB)")
    size = round(BLOCK_S * sample_rate)
    levels = (side[: side.numel() // size * size].view(-1, size).square().mean(1).sqrt() for side in (dry, wet))
    level.plot(*(20 * side.clamp_min(QUIET).log10() for side in levels), ".", markersize=2)
    level.set(title="level, by blocks of 20 ms", xlabel="dry (dB)", ylabel="wet (dB)")
    step = max(1, dry.numel() // 20_000)
    curve.plot(dry[::step], wet[::step], ".", markersize=1)
    curve.set(title="samples", xlabel="dry", ylabel="wet")
    for axes in (response, level, curve):
        axes.grid(alpha=0.3)
    return figure
