"""How a run begins: whose folder it is, what an earlier start left there, and what is wrong in a line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import is_zipfile

from filelock import FileLock, Timeout
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from fxemu.errors import ConfigError
from fxemu.sweep import in_sweep, last_checkpoint

HERE = Path(__file__).resolve().parent
CONF = HERE / "conf" if (HERE / "conf").is_dir() else HERE.parent / "conf"
# How many processes torchrun and SLURM say that they started.
COUNTS = ("WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
# Which of them this is: the first of these that is set.
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")


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
        config = OmegaConf.load(folder / "config.yaml")
    except FileNotFoundError as error:
        raise ConfigError(f"resume: {folder} is not a run folder: it has no config.yaml") from error
    except YAMLError as error:
        raise ConfigError(f"{folder / 'config.yaml'} is damaged; delete the folder to begin anew") from error
    if not last_checkpoint(folder).is_file():
        raise ConfigError(f"resume: {last_checkpoint(folder)} does not exist, so there is nothing to go on from")
    return config


def explained(error: Exception) -> str:
    """An error in a line; of the system's errors, such as a full disk, with what there is to do."""
    if not isinstance(error, OSError):
        return str(error)
    place = f"{error.filename}: " if error.filename else ""
    return (
        f"{place}{error.strerror or error}. Nothing is half written; when this is put right, the same command with "
        "the same folder (hydra.run.dir=FOLDER or resume=FOLDER) goes on from the last checkpoint"
    )
