"""Progress of a training in the terminal: a line that lives, or lines one after another where there is none."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
from tqdm import tqdm

from fxemu.training.callbacks import KeepCurve
from fxemu.training.monitoring.terminal import duration, tell
from fxemu.training.schedule import Schedule

LOG = logging.getLogger(__name__)
# Seconds between two looks of the line, and validations in its curve.
REFRESH_S, CURVE = 0.2, 12
BLOCKS = "▁▂▃▄▅▆▇█"


class Progress(pl.Callback):
    """A line after each validation: step, share done, errors, time and speed; another if the polarity is wrong.

    In a terminal the line is in the log alone, and one that lives is shown, see `LiveProgress`.
    """

    def __init__(self) -> None:
        self.begun, self.first = time.perf_counter(), 0

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.begun, self.first = time.perf_counter(), trainer.global_step

    def elapsed(self) -> float:
        """Seconds of this training."""
        return time.perf_counter() - self.begun

    def rate(self, trainer: pl.Trainer) -> float:
        """Optimizer steps a second."""
        return (trainer.global_step - self.first) / max(1e-9, self.elapsed())

    def left(self, module: pl.LightningModule) -> float:
        """Seconds until the end, as it has gone so far."""
        done = module.progress()
        return self.elapsed() * (1 - done) / max(done, 1e-6)

    def show(self, line: str) -> None:
        """Show the line of a validation."""
        tell(line)

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        scores = trainer.callback_metrics
        if "train/loss" not in scores or not trainer.is_global_zero:
            return
        self.show(
            f"step {trainer.global_step:>7}  {module.progress():>4.0%}  loss {float(scores['train/loss']):.3e}  "
            f"selection score {float(scores['val/esr']):.3e}  NMAE {float(scores['val/nmae']):.2%}  "
            f"{duration(self.elapsed())} elapsed, {duration(self.left(module))} left, {self.rate(trainer):.1f} steps/s"
        )
        if scores["val/inverted_esr"] < scores["val/esr"]:
            tell(f"  POLARITY: the output is upside down; inverted its ESR would be {scores['val/inverted_esr']:.3e}")


class LiveProgress(Progress):
    """One line that lives: share done, stage, speed, time, the best selection score and its curve.

    Args:
        curve: of the validations so far.
    """

    def __init__(self, curve: KeepCurve) -> None:
        super().__init__()
        self.curve = curve
        self.bar: tqdm | None = None
        self.shown = 0.0

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        super().on_train_start(trainer, module)
        if trainer.is_global_zero:
            look = {"bar_format": "{percentage:3.0f}% {bar:10} {desc}", "dynamic_ncols": True}
            self.bar = tqdm(total=1.0, file=sys.stdout, **look)

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        if self.bar is not None and time.perf_counter() - self.shown > REFRESH_S:
            self.shown = time.perf_counter()
            self._refresh(trainer, module)

    def show(self, line: str) -> None:
        LOG.info(line)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.bar is not None:
            self._refresh(trainer, module)
        self._close()

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        self._close()

    def _refresh(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        progress = module.progress()
        words = [
            stage_in_words(module.schedule, progress),
            f"{self.rate(trainer):.1f} steps/s",
            f"{duration(self.elapsed())}, {duration(self.left(module))} left",
        ]
        if (best := self.curve.best()) is not None:
            words.append(f"best {best:.1e} {sparkline([score for _, score, _ in self.curve.validations])}")
        self.bar.n = progress
        try:
            self.bar.set_description_str("  ".join(words))
        except OSError:
            # The terminal is gone; `tell` finds that out too.
            self.bar = None

    def _close(self) -> None:
        bar, self.bar = self.bar, None
        if bar is not None:
            try:
                bar.close()
            except OSError:
                LOG.info("the terminal is gone")


def stage_in_words(schedule: Schedule, progress: float) -> str:
    """The stage of the schedule at a progress from 0 to 1."""
    stage = schedule.stage(progress)
    number = f"{schedule.stages.index(stage) + 1}/{len(schedule.stages)}"
    return f"stage {number}: {f'rollouts of {stage.length}' if stage.free else 'teacher forced'}"


def sparkline(scores: Sequence[float]) -> str:
    """The last scores as blocks, on a logarithmic scale."""
    logs = [math.log(score) for score in scores[-CURVE:] if 0 < score < math.inf]
    if len(logs) < 2:
        return ""
    low, high = min(logs), max(logs)
    return "".join(BLOCKS[round((len(BLOCKS) - 1) * (log - low) / max(high - low, 1e-9))] for log in logs)
