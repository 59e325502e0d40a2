"""TensorBoard during a run: the layout of its charts, and one validation song as it sounds at some moments."""

from __future__ import annotations

import time
from collections.abc import Sequence
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
from fxemu.evaluation.validation import SHOWN_SONGS
from fxemu.library.pair import Pair
from fxemu.library.songs import file_stem
from fxemu.training.monitoring.loggers import Gallery

# As many moments as TensorBoard keeps of a tag, and the share of the training time that they may take.
MOMENTS, SHARE = 10, 0.02
# A moment is taken for this long before the first one, in s.
EXPECTED_S = 0.5
# Of the validation song that is shown, and of what is turned down by LEVELS_DB.
SONG_S, LEVEL_S = 4.0, 1.0
LEVELS_DB = (0, -24, -48)
ERRORS = "Error on validation songs, free run, in dB: lower is better (HPARAMS: on test songs; AUDIO: how it sounds)"
# Charts of how one song sounds beside the target, by the tags of their scores.
SOUND = {
    "sound: treble, dB (0: alike; below: dull)": "val_sound/treble_db",
    "sound: loudness, LU (0: alike; below: quiet)": "val_sound/loudness_lu",
}
# Charts of the training itself, below those of its errors.
TRAINING: dict[str, Any] = {
    "share of training done; band: its stage": [
        "Margin",
        ["train/progress", "train/stage_begins", "train/stage_ends"],
    ],
    "loss: lower is better": ["Multiline", ["^train/loss$"]],
    "predictions in a rollout": ["Multiline", ["^train/rollout$"]],
    "seconds spent": ["Multiline", ["^time/"]],
    "selection score: lower is better": ["Multiline", ["^val/esr$"]],
}


def layout(songs: Sequence[str], levels: Sequence[int]) -> dict[str, Any]:
    """TensorBoard's custom charts: errors over all validation songs and over each, how one sounds, and the training.

    A chart for each song and level, as only its title tells which it is. All errors are drawn as bands, most of them
    with no width: TensorBoard smooths lines and cuts those that go deep, and does neither to bands.

    Args:
        songs: names of those that are logged one by one.
        levels: of the input in dB; none for recordings.
    """
    by_song = {file_stem(song): _exact(f"val_songs_db/{file_stem(song)}") for song in songs}
    by_level = {
        f"input turned down by {-level} dB" if level else "input as it is": _exact(f"val_levels_db/at_{level}dB")
        for level in levels
    }
    band = ["Margin", ["val_db/free_run", "val_db/teacher_forced", "val_db/worst_song"]]
    sound = {title: _exact(tag) for title, tag in SOUND.items()}
    errors = {"all songs; band: teacher forced to worst": band, **sound, **by_song}
    # TensorBoard shows the last band first.
    errors, by_level = (dict(reversed(charts.items())) for charts in (errors, by_level))
    by_level_too = {"One validation song by input level, in dB": by_level} if by_level else {}
    return {
        ERRORS: errors,
        **by_level_too,
        "Training": TRAINING,
    }


def _exact(tag: str) -> list[Any]:
    return ["Margin", [tag] * 3]


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


class Dashboard(pl.Callback):
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
            data = trainer.datamodule
            songs = [song.name for song in data.validation_songs()[:SHOWN_SONGS]]
            self.gallery.layout(layout(songs, LEVELS_DB if data.effect.replayable else ()))

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
        beside = (prediction, song.wet, data.sample_rate)
        sound = metrics.treble_level_db(*beside), metrics.loudness_error_lu(*beside)
        gallery.scores(dict(zip(SOUND.values(), sound, strict=True)))
        errors = [metrics.esr_db(metrics.esr(p, pair.wet)) for p, pair in zip(quiet, levels, strict=True)]
        if errors:
            gallery.scores({f"val_levels_db/at_{level}dB": e for level, e in zip(LEVELS_DB, errors, strict=True)})
