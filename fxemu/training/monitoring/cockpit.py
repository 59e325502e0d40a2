"""TensorBoard during a run: the layout of its charts, and one validation song as it sounds at some moments."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl

from fxemu.audio.tensors import amplify
from fxemu.effects import Effect
from fxemu.engine.streaming.stream import render_many
from fxemu.evaluation import metrics
from fxemu.evaluation.measurements.levels import around_peak
from fxemu.evaluation.plots import error_over_time, waveform
from fxemu.evaluation.publishing import pixels
from fxemu.library.pair import Pair
from fxemu.training.monitoring.loggers import Gallery

# As many moments as TensorBoard keeps of a tag, and the share of the training time that they may take.
MOMENTS, SHARE = 10, 0.02
# A moment is taken for this long before the first one, in s.
EXPECTED_S = 0.5
# Of the validation song that is shown, and of what is turned down by LEVELS_DB.
SONG_S, LEVEL_S = 4.0, 1.0
LEVELS_DB = (0, -24, -48)
# TensorBoard shows two charts side by side, four at once, the last of two with bands first, and 45 letters of a title.
# It smooths lines, and no bands.
LAYOUT: dict[str, Any] = {
    "Error of the free run over validation songs, in dB: lower is better; AUDIO plays one": {
        "share of training done; band: its stage": [
            "Margin",
            ["train/progress", "train/stage_begins", "train/stage_ends"],
        ],
        "line: all songs; band: teacher forced to worst": [
            "Margin",
            ["val_db/free_run", "val_db/teacher_forced", "val_db/worst_song"],
        ],
    },
    "The same by song, and by input level": {
        "a line for each song, dB": ["Multiline", ["^val_songs_db/"]],
        "input turned down by 0, 24 and 48 dB, dB": ["Multiline", ["^val_levels_db/"]],
    },
    "Training": {
        "loss: lower is better": ["Multiline", ["^train/loss$"]],
        "predictions in a rollout": ["Multiline", ["^train/rollout$"]],
        "seconds spent": ["Multiline", ["^time/"]],
        "selection score: lower is better": ["Multiline", ["^val/esr$"]],
    },
}


@dataclass(frozen=True)
class Shown:
    """A stretch of a validation song, and the same turned down: pairs at LEVELS_DB, none for recordings."""

    song: Pair
    levels: tuple[Pair, ...]

    @staticmethod
    def of(song: Pair, effect: Effect, sample_rate: int) -> Shown:
        loudest = around_peak(song.dry, int(SONG_S * sample_rate))
        quiet = song.dry[around_peak(song.dry, int(LEVEL_S * sample_rate))]
        turned = [amplify(quiet, level) for level in LEVELS_DB] if effect.replayable else []
        pairs = tuple(Pair(song.name, dry, effect(dry, sample_rate)) for dry in turned)
        return Shown(Pair(song.name, song.dry[loudest], song.wet[loudest]), pairs)


class Cockpit(pl.Callback):
    """Shows on the loggers that can: a layout of charts, and at up to MOMENTS moments how one song sounds and looks.

    The moments take at most SHARE of the training time; a run that is too short for one shows none.

    Args:
        gallery: where.
    """

    def __init__(self, gallery: Gallery) -> None:
        self.gallery = gallery
        self.shown: Shown | None = None
        self.spent, self.expected, self.last = 0.0, EXPECTED_S, -1
        self.begun = time.perf_counter()

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.begun = time.perf_counter()
        if trainer.is_global_zero:
            self.gallery.layout(LAYOUT)

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        progress, elapsed = module.progress(), time.perf_counter() - self.begun
        spent = {"training": elapsed, "validation": module.validating_s, "dashboard": self.spent}
        figures = {f"time/{name}_s": seconds for name, seconds in spent.items()}
        module.log_dict({**figures, "step": float(trainer.global_step)}, sync_dist=True)
        moment = int(progress * MOMENTS)
        affordable = self.spent + self.expected <= SHARE * elapsed
        if trainer.is_global_zero and self.gallery.shows and moment > self.last and affordable:
            self.last = moment
            self._show(trainer, module)
            self.expected = time.perf_counter() - self.begun - elapsed
            self.spent += self.expected

    def _show(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        data, gallery = trainer.datamodule, self.gallery.at(trainer.global_step)
        if self.shown is None:
            self.shown = Shown.of(data.validation_songs()[0], data.effect, data.sample_rate)
        song, levels = self.shown.song, self.shown.levels
        songs = [song, *levels]
        loops = [module.loop.at(pair.knobs) for pair in songs]
        prediction, *quiet = render_many(loops, [pair.dry for pair in songs])
        gallery.audio("A validation song/prediction", prediction, data.sample_rate)
        gallery.audio("A validation song/error", prediction - song.wet, data.sample_rate)
        if not self.spent:
            gallery.audio("A validation song/target", song.wet, data.sample_rate)
        limit = float(module.loop.limit)
        for draw in (waveform, error_over_time):
            figure = draw(song.dry, song.wet, prediction, data.sample_rate, limit)
            gallery.image(f"A validation song/{draw.__name__}", pixels(figure))
        errors = [metrics.esr_db(metrics.esr(p, pair.wet)) for p, pair in zip(quiet, levels, strict=True)]
        if errors:
            gallery.scores({f"val_levels_db/at_{level}dB": e for level, e in zip(LEVELS_DB, errors, strict=True)})
