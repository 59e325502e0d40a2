"""Lightning callbacks: whole checkpoints, end on Ctrl-C, and the curve of validations."""

from __future__ import annotations

import io
import math
import time
from abc import ABC, abstractmethod
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor

from fxemu.errors import ConfigError, Terminated
from fxemu.files import write_whole
from fxemu.training.monitoring.terminal import tell
from fxemu.training.signals import handle_ends, restore_default_ends


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it.

    Lightning writes to the system's folder for temporary files, often on another disk, and copies the file from there.
    Loaded from a folder that was moved, a checkpoint has the paths as they are now, by which a run finds its best one.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        write_checkpoint(Path(path), checkpoint)

    def load_checkpoint(self, path: str | Path, *arguments: Any, **options: Any) -> dict[str, Any]:
        checkpoint = read_checkpoint(Path(path))
        if lacking := {"callbacks", "loops", "optimizer_states", "global_step"} - checkpoint.keys():
            raise _foreign(Path(path), f"it lacks {', '.join(sorted(lacking))}")
        folder = Path(path).resolve().parent
        for state in checkpoint["callbacks"].values():
            if "dirpath" in state:
                state |= _moved(state, folder)
        return checkpoint


def write_checkpoint(path: Path, checkpoint: dict[str, Any]) -> None:
    """Write a file of tensors, whole or not at all; an OSError where the disk is full, unlike PyTorch's own writer."""
    content = io.BytesIO()
    torch.save(checkpoint, content)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content.getvalue())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The tensors and plain data in a checkpoint, on the CPU; no code in it is run.

    Raises:
        ConfigError: for a file that is damaged, or that another program wrote.
    """
    try:
        checkpoint = torch.load(path, weights_only=True, map_location="cpu")
    except (UnpicklingError, RuntimeError, EOFError, LookupError, TypeError, ValueError) as error:
        raise _foreign(path, type(error).__name__) from error
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("state_dict"), dict):
        raise _foreign(path, "it lacks state_dict")
    replaced = checkpoint.get("replaced", {})
    if not isinstance(replaced, dict) or not all(isinstance(weight, Tensor) for weight in replaced.values()):
        raise _foreign(path, "what it calls replaced are no weights")
    return checkpoint


def _foreign(path: Path, reason: str) -> ConfigError:
    return ConfigError(f"{path} is damaged, or no checkpoint of fxemu ({reason}); delete it, and the run starts again")


def _moved(state: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The paths in a ModelCheckpoint's state, in this folder."""

    def here(path: str) -> str:
        return str(folder / Path(path).name) if path else path

    names = ("best_model_path", "kth_best_model_path", "last_model_path")
    best = {here(path): score for path, score in state["best_k_models"].items()}
    return {"dirpath": str(folder), **{name: here(state[name]) for name in names}, "best_k_models": best}


class ValidateLast(pl.Callback):
    """Stops training after its last step: Lightning validates where it is told to stop, not where steps run out."""

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        trainer.should_stop |= trainer.global_step >= trainer.max_steps


class HandleSignals(pl.Callback, ABC):
    """Takes the signals that end a training, while it lasts."""

    @abstractmethod
    def handle(self, number: int, frame: Any) -> None:
        """Take a signal."""

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        # After Lightning has set its own handlers; it restores those before them when training ends.
        handle_ends(self.handle)


class EndSweep(HandleSignals):
    """Ends the process at once, so that no run of a sweep counts that was cut short."""

    def handle(self, number: int, frame: Any) -> None:
        raise Terminated(number)


class StopOnInterrupt(HandleSignals):
    """The first signal ends training after the current step, so that the report is written; a second kills.

    Of several processes that train together, all stop after the same step, whichever of them got it.
    """

    def __init__(self) -> None:
        self.received: int | None = None

    def handle(self, number: int, frame: Any) -> None:
        self.received = number
        restore_default_ends()

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        interrupted = trainer.strategy.reduce_boolean_decision(self.received is not None, all=False)
        if interrupted and not trainer.should_stop:
            trainer.should_stop = True
            if trainer.is_global_zero:
                tell("\ninterrupted: writing the report on the best model so far (Ctrl-C again to quit at once)")


class KeepCurve(pl.Callback):
    """Keeps (step, selection score, teacher-forced ESR) of every validation, and the seconds that training took.

    Both are part of the checkpoint: what came after the last one does not count.
    """

    def __init__(self) -> None:
        self.validations: list[tuple[int, float, float]] = []
        self.before, self.begun = 0.0, time.perf_counter()

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        # Before the module's own, in which predictors are fitted in closed form.
        self.begun = time.perf_counter()

    def seconds(self) -> float:
        """Seconds of training so far, those before an interruption included."""
        return self.before + time.perf_counter() - self.begun

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        errors = (float(trainer.callback_metrics[f"val/{name}"]) for name in ("esr", "teacher_forced_esr"))
        self.validations.append((trainer.global_step, *errors))

    def best(self) -> float | None:
        """The least selection score, see `validation.scores`; None before any validation, or if none is finite."""
        return min((esr for _, esr, _ in self.validations if math.isfinite(esr)), default=None)

    def state_dict(self) -> dict[str, Any]:
        return {"validations": self.validations, "seconds": self.seconds()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.validations = [tuple(row) for row in state_dict["validations"]]
        self.before = state_dict.get("seconds", 0.0)
