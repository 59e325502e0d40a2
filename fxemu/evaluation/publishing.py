"""Sounds and pictures of a report, in its run folder and on a dashboard."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave
from numpy.typing import NDArray
from torch import Tensor

from fxemu.audio.tensors import write_wav
from fxemu.evaluation import metrics
from fxemu.evaluation.plots import PLOTS
from fxemu.files import write_whole
from fxemu.library.pair import Pair
from fxemu.library.songs import file_stem


class Dashboard(Protocol):
    """A second place for a report, beside its files; arguments as of `training.monitoring.loggers.Gallery`."""

    def scores(self, values: dict[str, float]) -> None: ...

    def audio(self, tag: str, samples: Tensor, sample_rate: int) -> None: ...

    def image(self, tag: str, pixels: NDArray[Any]) -> None: ...


def pixels(figure: Figure) -> NDArray[Any]:
    """A figure as pixels (height, width, 3), 8 bits."""
    figure.set_dpi(110)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


@dataclass(frozen=True)
class Publisher:
    """Writes into `audio/` and `plots/` of a run folder, and the same to a dashboard.

    Args:
        folder: the run folder.
        dashboard: that shows them too.
        sample_rate: of all sounds, in Hz.
    """

    folder: Path
    dashboard: Dashboard
    sample_rate: int

    def song(self, song: Pair, prediction: Tensor, limit: float) -> None:
        """Sounds, pictures and the length of the good part of a free run (samples,) over a song."""
        stem = file_stem(song.name)
        self.sounds(
            stem, {"dry": song.dry, "target": song.wet, "prediction": prediction, "residual": prediction - song.wet}
        )
        well = float(metrics.samples_before_divergence(prediction, limit))
        self.dashboard.scores({f"test_songs/{stem}/samples_well": well})
        for name, draw in PLOTS.items():
            figure = draw(song.dry, song.wet, prediction, self.sample_rate, limit)
            self.picture(figure, f"{stem}-{name}", f"{stem}/{name}")

    def sounds(self, stem: str, sounds: dict[str, Tensor]) -> None:
        """Write sounds (samples,) of one song by their kind."""
        for kind, samples in sounds.items():
            write_wav(self.folder / "audio" / f"{stem}-{kind}.wav", samples, self.sample_rate)
            self.dashboard.audio(f"{stem}/{kind}", samples, self.sample_rate)

    def picture(self, figure: Figure, name: str, tag: str | None = None) -> None:
        """Draw a picture once, for its file and for the dashboard (there under `tag`, if that is not its name)."""
        drawn, png = pixels(figure), io.BytesIO()
        imsave(png, drawn)
        (self.folder / "plots").mkdir(parents=True, exist_ok=True)
        write_whole(self.folder / "plots" / f"{name}.png", png.getvalue())
        self.dashboard.image(tag or name, drawn)
