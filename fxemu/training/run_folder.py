"""How a run begins: whose folder it is, what an earlier start left there, and what is wrong in a line."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

from filelock import FileLock, Timeout
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from fxemu.errors import ConfigError, UserError

PACKAGE = Path(__file__).resolve().parent.parent
CONF = PACKAGE / "conf" if (PACKAGE / "conf").is_dir() else PACKAGE.parent / "conf"
# Names in the configs of earlier versions, and what they are called now.
RENAMED = {"fxemu.schedule.Schedule": "fxemu.training.Schedule"}
# Why a run failed: the last line says it shortly.
ERROR = "error.txt"
# What the system says of a write that failed: full, over quota, read-only, forbidden, or a broken disk.
FAILED_WRITES = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.EIO)
# How many processes torchrun and SLURM say that they started.
COUNTS = ("WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
# Which of them this is: the first of these that is set.
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")


class AnotherRunError(UserError):
    """A folder that holds a run with another config."""


def in_sweep() -> bool:
    """Whether this run is one of several (`-m`)."""
    return HydraConfig.get().mode == RunMode.MULTIRUN


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder; one that is killed lets go of it. Of several processes the first does it.

    Raises:
        ConfigError: if another run is writing there, or processes started by others have not been told the same folder.
    """
    count = max(int(os.environ.get(name, 1)) for name in COUNTS)
    if count > 1 and not _named():
        raise ConfigError(
            f"{count} processes were started, and each would name its folder after its own clock: "
            "name it for them with hydra.run.dir=outputs/NAME"
        )
    if int(next((os.environ[name] for name in RANKS if name in os.environ), 0)):
        yield
        return
    try:
        lock = FileLock(folder / ".lock", timeout=0).acquire()
    except Timeout as error:
        raise ConfigError(f"{folder}: another run is writing there; wait for it, or choose another folder") from error
    with lock:
        yield


def _named() -> bool:
    return in_sweep() or any(word.startswith("hydra.run.dir=") for word in HydraConfig.get().overrides.hydra)


def checkpoint(folder: Path) -> Path | None:
    """Where a run that an earlier start has begun goes on from; None if it begins anew.

    Raises:
        ConfigError: if the file is damaged.
    """
    path = last_checkpoint(folder)
    if not path.is_file():
        return None
    if not is_zipfile(path):
        raise ConfigError(f"{path} is damaged; delete it, and the run begins anew")
    return path


def saved_config(folder: Path) -> DictConfig:
    """The config of a run that is to go on.

    Raises:
        ConfigError: if there is none, or nothing to go on from.
    """
    try:
        config = _read_config(folder)
    except FileNotFoundError as error:
        raise ConfigError(f"resume: {folder} is not a run folder: it has no config.yaml") from error
    except YAMLError as error:
        raise ConfigError(f"{folder / 'config.yaml'} is damaged; delete the folder to begin anew") from error
    if not last_checkpoint(folder).is_file():
        raise ConfigError(f"resume: {last_checkpoint(folder)} does not exist, so there is nothing to go on from")
    if OmegaConf.select(config, "repr.embedding") is not None:
        del config.repr.embedding
    return config


def last_checkpoint(folder: Path) -> Path:
    """Where a run goes on from."""
    return folder / "checkpoints" / "last.ckpt"


def finished_score(config: DictConfig, folder: Path) -> float | None:
    """The score of a run with this config that is finished already; None if it has still to be made, or to go on.

    Raises:
        AnotherRunError: if the folder holds a run with another config.
    """
    metrics = folder / "metrics.json"
    if not metrics.is_file() and not last_checkpoint(folder).is_file():
        return None
    if _settings(_read_config(folder)) != _settings(config):
        raise AnotherRunError(f"{folder} holds a run with another config: move it away, or choose another folder")
    if not metrics.is_file() or (folder / ERROR).is_file():
        return None
    print(f"already finished: {folder}")
    score = json.loads(metrics.read_text()).get("val_esr")
    return math.inf if score is None else score


def _settings(config: DictConfig) -> dict[str, Any]:
    """All that decides what a run comes to."""
    return {**OmegaConf.to_container(config, resolve=True), "resume": None}


@contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """A failed write in the run folder as a UserError that says how the run goes on; all other errors as they are."""
    try:
        yield
    except OSError as error:
        inside = error.filename is None or folder.resolve() in Path(str(error.filename)).resolve().parents
        if error.errno not in FAILED_WRITES or not inside:
            raise
        place = f"{error.filename}: " if error.filename else ""
        raise UserError(
            f"{place}{error.strerror}. Nothing is half written; when this is put right, the same command with the "
            "same folder (hydra.run.dir=FOLDER or resume=FOLDER) goes on from the last checkpoint"
        ) from error


def _read_config(folder: Path) -> DictConfig:
    """The config.yaml of a run folder, as this version writes it."""
    config = OmegaConf.load(folder / "config.yaml")
    target = OmegaConf.select(config, "training._target_")
    if target in RENAMED:
        OmegaConf.update(config, "training._target_", RENAMED[target])
    if OmegaConf.select(config, "repr.embedding") is not None:
        del config.repr.embedding
    return config
