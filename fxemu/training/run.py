"""`python train.py`: from a config to a trained emulation with its report."""

from __future__ import annotations

import io
import json
import logging
import math
import os
import re
import subprocess
import sys
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from fxemu.data.module import SongData
from fxemu.data.shard import Shard
from fxemu.errors import ConfigError, TrainingDivergedError
from fxemu.evaluation import validation
from fxemu.evaluation.plots import training_curve
from fxemu.evaluation.report import evaluate, table
from fxemu.evaluation.scores import Report
from fxemu.files import write_json, write_whole
from fxemu.library.scan import LibraryScan
from fxemu.models.files import save
from fxemu.training.callbacks import KeepCurve, PrintProgress, StopOnInterrupt, ValidateLast, WholeCheckpoints
from fxemu.training.module import TrainingModule
from fxemu.training.parts import Task
from fxemu.training.run_folder import in_sweep
from fxemu.training.terminal import tell

# Warnings that tell a user nothing, by the beginning of their text, each with the reason.
SILENCED = (
    # Of a dimension of size 1, whose stride means nothing.
    "Grad strides do not match bucket view strides",
    # Lightning 2.6 asks torch's pytree in a way that torch 2.14 has renamed; its answer is the same.
    "`isinstance(treespec, LeafSpec)` is deprecated",
    # Runs of a few steps: what is logged at the end of each epoch is enough of them.
    "The number of training batches (",
    # A run that goes on from amid an epoch: `SongData` gives it the batches that it has not had.
    "You're resuming from a checkpoint that ended before the epoch ended",
    # A folder of checkpoints that an earlier start has left is the one to go on in.
    "Checkpoint directory ",
)
PACKAGES = (
    "torch",
    "torchaudio",
    "numpy",
    "scipy",
    "numba",
    "safetensors",
    "av",
    "pytorch-lightning",
    "pytorch-optimizer",
    "hydra-core",
)


def build(config: DictConfig, task: Task) -> tuple[SongData, TrainingModule]:
    """The two halves of a training, for a task that this config gave.

    Raises:
        ConfigError: for an argument of `data` that is out of range.
    """
    try:
        data = instantiate(config.data, effect=task.effect, context=task.loop.warm_up, seed=config.seed)
    except (InstantiationException, ValueError) as error:
        raise ConfigError(str(error.__cause__ or error)) from error
    return data, TrainingModule(task.loop, task.loss, task.schedule, seed=config.seed)


def run(config: DictConfig, folder: Path, resume: Path | None, task: Task, look: LibraryScan | None) -> float:
    """Train, evaluate and report in `folder`; return the least free-run ESR on the validation songs, to select by.

    It goes on from the checkpoint `resume`, and with what a first `look` has seen of the library. Of several processes
    that train together the first alone writes and reports; the others return NaN.
    """
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
    chosen = _chosen(folder, resume)
    data, emulator = build(config, task)
    curve = KeepCurve()
    trainer = _trainer(config, folder, emulator, curve)
    data.begun = look
    data.setup()
    if trainer.is_global_zero:
        if data.skipped:
            tell(str(data.skipped), error=True)
        tell(f"{data.summary()}; {'going on' if resume else 'writing'} in {folder}")
        # A run that goes on is not finished.
        (folder / "metrics.json").unlink(missing_ok=True)
        write_whole(folder / "config.yaml", OmegaConf.to_yaml(config, resolve=True).encode())
        about = environment(config, trainer.strategy.root_device)
        write_json(folder / "environment.json", {**about, "chosen": chosen})
        trainer.logger.log_hyperparams(_flat(config), {"val/esr": float("nan")})
    diverged = None
    try:
        trainer.fit(emulator, datamodule=data, ckpt_path=resume, weights_only=True)
    except TrainingDivergedError as error:
        diverged = error
        if not curve.validations:
            raise
    seconds = curve.seconds()
    if not trainer.is_global_zero:
        return math.nan
    if not curve.validations:
        # A fit without a step.
        scores = validation.scores(emulator.loop, data.validation_songs(), emulator.settled)
        curve.validations.append((0, scores["val/esr"], scores["val/teacher_forced_esr"]))
    about = {"train_seconds": seconds, "validation_share": emulator.validating_s / seconds, **chosen}
    _report(config, folder, data, emulator, curve, about)
    if diverged is not None:
        raise diverged
    return math.inf if curve.best() is None else curve.best()


def _report(
    config: DictConfig, folder: Path, data: SongData, emulator: TrainingModule, curve: KeepCurve, about: dict[str, Any]
) -> None:
    """Write what is to be known of the best model so far, its scores and what else is said about the run last."""
    if curve.validations:
        (folder / "plots").mkdir(exist_ok=True)
        picture = io.BytesIO()
        training_curve(curve.validations).savefig(picture, dpi=110)
        write_whole(folder / "plots" / "training_curve.png", picture.getvalue())
    best, loop = folder / "checkpoints" / "best.ckpt", emulator.loop
    (last := best.with_name("last")).mkdir(parents=True, exist_ok=True)
    save(loop, OmegaConf.to_container(config, resolve=True), last)
    if best.is_file():
        emulator.load_state_dict(torch.load(best, weights_only=True, map_location="cpu")["state_dict"])
    save(loop, OmegaConf.to_container(config, resolve=True), folder)
    scores = evaluate(loop.cpu(), data.parts["train"], data.parts["test"], data.effect, data.sample_rate, folder)
    report = Report(
        test=scores,
        val_esr=curve.best(),
        parameters=sum(p.numel() for p in loop.parameters()),
        multiply_adds=loop.plan().multiply_adds(),
        audio_seconds=data.audio_seconds(),
        **about,
    )
    write_json(folder / "metrics.json", report.to_json())
    tell(f"\n{table(scores)}")
    places = "model.safetensors checkpoints/ audio/ plots/ metrics.json config.yaml environment.json"
    spent = f"{about['train_seconds']:.0f} s, {about['validation_share']:.0%} of it for validation"
    tell(f"trained for {spent}; everything is in {folder}: {places}")
    tell("dashboard: tensorboard --logdir outputs")


def _trainer(config: DictConfig, folder: Path, emulator: TrainingModule, curve: KeepCurve) -> pl.Trainer:
    """Lightning's Trainer, which knows from here on how many processes there are.

    Raises:
        ConfigError: for devices that there are not, or a batch that cannot be divided among them.
    """
    # Two of them: save_last=True would write last.ckpt only when best.ckpt is written.
    best, last = (
        ModelCheckpoint(folder / "checkpoints", name, monitor=monitor, enable_version_counter=False)
        for name, monitor in (("best", "val/esr"), ("last", None))
    )
    accelerator = config.trainer.accelerator
    if accelerator == "auto":
        # Lightning's own "auto" takes Apple's GPU too (see `task.ACCELERATORS`).
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        trainer = pl.Trainer(
            **{**config.trainer, "accelerator": accelerator},
            max_steps=emulator.schedule.steps,
            logger=TensorBoardLogger(folder, name="", version=""),
            callbacks=[best, last, curve, PrintProgress(), ValidateLast(), *_stopping(config)],
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


def _stopping(config: DictConfig) -> list[pl.Callback]:
    """What may end training early; Ctrl-C ends a whole sweep, at once, so that no run counts that was cut short."""
    early = []
    if config.patience is not None:
        # Not every epoch is validated.
        early = [pl.callbacks.EarlyStopping("val/esr", patience=config.patience, check_on_train_epoch_end=False)]
    return early if in_sweep() else [StopOnInterrupt(), *early]


def _chosen(folder: Path, resume: Path | None) -> dict[str, str]:
    """The run's effect, representation and model, as chosen when it began: `resume=` does not say them again."""
    earlier = folder / "environment.json"
    known = json.loads(earlier.read_text()) if resume and earlier.is_file() else {}
    if "chosen" in known:
        return known["chosen"]
    choices = HydraConfig.get().runtime.choices
    representation = "-".join(dict.fromkeys((choices["repr"], choices["repr@repr.output"])))
    return {"effect": choices["effect"], "repr": representation, "model": choices["model"]}


def _flat(config: DictConfig) -> dict[str, Any]:
    """The config as dotted names to plain values, for TensorBoard's table of hyperparameters."""
    flat: dict[str, Any] = {}

    def visit(node: Any, name: str) -> None:
        if isinstance(node, dict):
            for key, child in node.items():
                visit(child, f"{name}.{key}" if name else key)
        else:
            flat[name] = node if isinstance(node, bool | int | float | str) else str(node)

    visit(OmegaConf.to_container(config, resolve=True), "")
    return flat


def environment(config: DictConfig, device: torch.device) -> dict[str, Any]:
    """What else a run depends on: git commit, versions, the device it is trained on and seeds."""
    # Installed, it may lie within a repository of something else.
    ours = _git("ls-files", "--error-unmatch", Path(__file__).name)
    return {
        "git_commit": _git("rev-parse", "HEAD") if ours else None,
        "git_dirty": bool(ours and _git("status", "--porcelain")),
        "python": sys.version.split()[0],
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "seed": config.seed,
        "split_seed": config.data.split_seed,
    }


def _git(*arguments: str) -> str | None:
    """What git says of the code's own folder; None where it is in no checkout."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
