"""Sounds and pictures of a report, in its run folder and on the TensorBoard dashboard."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from fxemu.audio.tensors import write_wav
from fxemu.evaluation import metrics
from fxemu.evaluation.plots import PLOTS
from fxemu.files import write_whole
from fxemu.library.pair import Pair
from fxemu.library.songs import file_stem


@dataclass(frozen=True)
class Publisher:
    """Writes into `audio/` and `plots/` of a run folder, and the same to a dashboard.

    Args:
        folder: the run folder.
        dashboard: TensorBoard's writer.
        sample_rate: of all sounds, in Hz.
    """

    folder: Path
    dashboard: SummaryWriter
    sample_rate: int

    def song(self, song: Pair, prediction: Tensor, limit: float) -> None:
        """Sounds, pictures and the length of the good part of a free run (samples,) over a song."""
        stem = file_stem(song.name)
        self.sounds(
            stem, {"dry": song.dry, "target": song.wet, "prediction": prediction, "residual": prediction - song.wet}
        )
        self.dashboard.add_scalar(f"{stem}/samples_well", metrics.samples_before_divergence(prediction, limit))
        for name, draw in PLOTS.items():
            figure = draw(song.dry, song.wet, prediction, self.sample_rate, limit)
            self.picture(figure, f"{stem}-{name}", f"{stem}/{name}")

    def sounds(self, stem: str, sounds: dict[str, Tensor]) -> None:
        """Write sounds (samples,) of one song by their kind."""
        for kind, samples in sounds.items():
            write_wav(self.folder / "audio" / f"{stem}-{kind}.wav", samples, self.sample_rate)
            self.dashboard.add_audio(f"{stem}/{kind}", samples.clamp(-1, 1)[None], sample_rate=self.sample_rate)

    def picture(self, figure: Figure, name: str, tag: str | None = None) -> None:
        """Draw a picture once, for its file and for the dashboard (there under `tag`, if that is not its name)."""
        figure.set_dpi(110)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        pixels, png = np.asarray(canvas.buffer_rgba()), io.BytesIO()
        imsave(png, pixels)
        (self.folder / "plots").mkdir(parents=True, exist_ok=True)
        write_whole(self.folder / "plots" / f"{name}.png", png.getvalue())
        self.dashboard.add_image(tag or name, pixels[..., :3], dataformats="HWC")
