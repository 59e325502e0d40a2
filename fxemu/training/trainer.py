"""Lightning's Trainer for a run: checkpoints, logs, early stopping, and the warnings that are silenced."""

from __future__ import annotations

import logging
import os
import re
import sys
import warnings
from pathlib import Path

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from fxemu.data.shard import Shard
from fxemu.errors import ConfigError
from fxemu.training.callbacks import (
    EndSweep,
    KeepCurve,
    StopOnInterrupt,
    ValidateLast,
    WholeCheckpoints,
)
from fxemu.training.monitoring.dashboard import Dashboard
from fxemu.training.monitoring.loggers import Gallery, build_loggers
from fxemu.training.monitoring.progress import LiveProgress, Progress
from fxemu.training.run_folder import in_sweep

# Warnings that tell a user nothing, by the beginning of their text, each with the reason.
SILENCED = (
    # Of a dimension of size 1, whose stride means nothing.
    "Grad strides do not match bucket view strides",
    # Lightning 2.6 asks torch's pytree in a way that torch 2.14 has renamed; its answer is the same.
    "`isinstance(treespec, LeafSpec)` is deprecated",
    # Runs of a few steps: what is logged at the end of each epoch is enough of them.
    "The number of training batches (",
    # A run that is resumed amid an epoch: `SongData` gives it the batches that remain.
    "You're resuming from a checkpoint that ended before the epoch ended",
    # A folder of checkpoints that an earlier start has left is the one to resume in.
    "Checkpoint directory ",
)


def set_up_process(config: DictConfig) -> None:
    """Silence other packages' messages, and set this process's threads, arithmetic and seeds."""
    for library in ("pytorch_lightning", "lightning_fabric", "matplotlib"):
        logging.getLogger(library).setLevel(logging.WARNING)
    for text in SILENCED:
        warnings.filterwarnings("ignore", re.escape(text))
    torch.set_flush_denormal(True)
    if config.threads:
        # So that Lightning, which divides the cores among processes, leaves it at that.
        os.environ["OMP_NUM_THREADS"] = str(config.threads)
        torch.set_num_threads(config.threads)
    pl.seed_everything(config.seed, verbose=False)


def build_trainer(config: DictConfig, folder: Path, steps: int, curve: KeepCurve, progress: bool = True) -> pl.Trainer:
    """Make Lightning's Trainer, which knows from here on how many processes there are.

    Args:
        config: of the run.
        folder: of the run, which takes checkpoints and logs.
        steps: after which training ends.
        curve: keeps the scores of each validation.
        progress: whether it is shown, in the terminal and by the config's loggers.

    Raises:
        ConfigError: for devices that there are not, or a batch that cannot be divided among them.
    """
    loggers = build_loggers(config, folder) if progress else []
    try:
        trainer = pl.Trainer(
            **{**config.trainer, "accelerator": _accelerator(config.trainer.accelerator)},
            max_steps=steps,
            logger=loggers,
            callbacks=[
                *_checkpoints(folder),
                curve,
                *([_progress(curve), Dashboard(Gallery(loggers))] if progress else []),
                ValidateLast(),
                *_stopping(config),
            ],
            plugins=[WholeCheckpoints()],
            default_root_dir=folder,
            # Each process cuts its share of a batch itself.
            use_distributed_sampler=False,
            reload_dataloaders_every_n_epochs=1,
            num_sanity_val_steps=0,
            enable_model_summary=False,
            enable_progress_bar=False,
        )
        Shard(trainer.global_rank, trainer.world_size).rows(config.data.batch_size)
    except (MisconfigurationException, TypeError, ValueError) as error:
        raise ConfigError(f"trainer: {error}") from error
    external = trainer.world_size == 1 or trainer.strategy.cluster_environment.creates_processes_externally
    if in_sweep() and not external:
        raise ConfigError(
            "trainer.devices: a sweep's runs take one process each here; hydra/launcher=joblib runs several"
        )
    return trainer


def _accelerator(name: str) -> str:
    """Lightning's own "auto" takes Apple's GPU too (see `parts.ACCELERATORS`)."""
    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


def _progress(curve: KeepCurve) -> Progress:
    # A terminal without a size, as some containers have, shows no line that lives.
    living = sys.stdout.isatty() and os.get_terminal_size(sys.stdout.fileno()).lines > 0
    return LiveProgress(curve) if living else Progress()


def _checkpoints(folder: Path) -> list[ModelCheckpoint]:
    """Two of them: save_last=True would write last.ckpt only when best.ckpt is written."""
    return [
        ModelCheckpoint(folder / "checkpoints", name, monitor=monitor, enable_version_counter=False)
        for name, monitor in (("best", "val/esr"), ("last", None))
    ]


def _stopping(config: DictConfig) -> list[pl.Callback]:
    """Callbacks to end a run early."""
    early = []
    if config.patience is not None:
        # Not every epoch is validated.
        early = [pl.callbacks.EarlyStopping("val/esr", patience=config.patience, check_on_train_epoch_end=False)]
    return [EndSweep() if in_sweep() else StopOnInterrupt(), *early]
