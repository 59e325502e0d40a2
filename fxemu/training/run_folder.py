"""Run folders: locking, resuming, and detection of finished runs."""

from __future__ import annotations

import errno
import itertools
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

from filelock import FileLock, Timeout
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, read_write
from yaml import YAMLError

from fxemu.errors import ConfigError, UserError
from fxemu.files import EARLIER, parse_json, write_whole

PACKAGE = Path(__file__).resolve().parent.parent
CONF = PACKAGE / "conf" if (PACKAGE / "conf").is_dir() else PACKAGE.parent / "conf"
# Names of classes, and of fields of a training stage, in the configs of earlier versions, and their names now.
RENAMED = {"fxemu.schedule.Schedule": "fxemu.training.Schedule"}
RENAMED_FIELDS = {"deaf": "drop_history"}
# Options of earlier versions, of a run and of a stage of its training, which this one leaves out.
DROPPED = ("repr.embedding", "training.gain_penalty", "training.gain_limit")
DROPPED_FIELDS = ("own", "own_history", "wrong", "wrong_history")
LOCK = ".lock"
# Holds the config of a race and what its candidates reached.
RACE = "race"
# Holds why a run of a sweep failed; its last line is the reason in short.
ERROR = "error.txt"
# Errors of a failed write: the disk is full, over quota, read-only, forbidden or broken.
FAILED_WRITES = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.EIO)
# Set by torchrun and SLURM to the number of processes that they started.
COUNTS = ("WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
# The number of this process: the first of these that is set.
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")


class AnotherRunError(UserError):
    """A folder that holds a run with another config."""


def in_sweep() -> bool:
    """True for a run of a sweep (`-m`)."""
    return HydraConfig.get().mode == RunMode.MULTIRUN


class BusyFolderError(ConfigError):
    """A folder in which another run is writing."""


class NewFolder(Callback):
    """Gives a run, or a sweep, whose name holds the second of its start the next free name: several may start in it.

    The folder is made at once, and nothing else is written to it before the run has locked it.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        # By which the names of the options are resolved.
        HydraConfig.instance().set_config(config)
        self._rename(config, "run")

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        if folder := self._rename(config, "sweep"):
            # The config of each of its runs is composed again.
            with read_write(config.hydra.overrides):
                config.hydra.overrides.hydra.append(f"hydra.sweep.dir='{folder}'")

    def _rename(self, config: DictConfig, section: str) -> Path | None:
        place = config.hydra[section]
        if "%S" not in str(OmegaConf.to_container(place, resolve=False)["dir"]):
            return None
        first = Path(place.dir)
        names = itertools.chain([first], (first.with_name(f"{first.name}-{number}") for number in itertools.count(2)))
        folder = next(name for name in names if _made(name))
        with read_write(place):
            place.dir = str(folder)
        return folder


def _made(folder: Path) -> bool:
    """Make a folder; False if there is one already."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return False
    return True


@contextmanager
def removed_if_refused(folder: Path) -> Iterator[None]:
    """Remove the folder of a run that ends before anything of it was written."""
    try:
        yield
    finally:
        with suppress(OSError):
            if {path.name for path in folder.iterdir()} <= {LOCK, "train.log"}:
                shutil.rmtree(folder)


def write_hydra_record(folder: Path) -> None:
    """Write Hydra's own options and the overrides to `.hydra`, as Hydra would before the folder is known to be free."""
    options = HydraConfig.get()
    (folder / ".hydra").mkdir(exist_ok=True)
    for name, content in (("hydra", {"hydra": options}), ("overrides", options.overrides.task)):
        text = OmegaConf.to_yaml(OmegaConf.create(content))
        write_whole(folder / ".hydra" / f"{name}.yaml", text.encode())


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a folder against other runs, until this one ends or is killed; of several processes the first locks it.

    Raises:
        BusyFolderError: if another run is writing there.
        ConfigError: if processes that others started were not given one folder.
    """
    count = process_count()
    if count > 1 and not _named():
        raise ConfigError(
            f"{count} processes were started, and each would name its folder after its own clock: "
            "name it for them with hydra.run.dir=outputs/NAME"
        )
    if int(next((os.environ[name] for name in RANKS if name in os.environ), 0)):
        yield
        return
    try:
        lock = FileLock(folder / LOCK, timeout=0).acquire()
    except Timeout as error:
        raise BusyFolderError(
            f"{folder}: another run is writing there; wait for it, or choose another folder"
        ) from error
    with lock:
        yield


def process_count() -> int:
    """Processes that others have started to train together."""
    return max(int(os.environ.get(name, 1)) for name in COUNTS)


def _named() -> bool:
    return in_sweep() or any(word.startswith("hydra.run.dir=") for word in HydraConfig.get().overrides.hydra)


def checkpoint_to_resume(folder: Path) -> Path | None:
    """The last checkpoint of an earlier start, to resume from; None if there is none.

    Raises:
        ConfigError: if the file is damaged.
    """
    path = last_checkpoint(folder)
    if not path.is_file():
        return None
    if not is_zipfile(path):
        raise ConfigError(f"{path} is damaged; delete it, and the run starts again")
    return path


def saved_config(folder: Path) -> DictConfig:
    """The config in the folder of a run that is to be resumed.

    Raises:
        ConfigError: if there is none, or no checkpoint.
    """
    racing = not last_checkpoint(folder).is_file() and (folder / RACE / "config.yaml").is_file()
    try:
        config = _asked_config(folder) if racing else _read_config(folder)
    except FileNotFoundError as error:
        raise ConfigError(f"resume: {folder} is not a run folder: it has no config.yaml") from error
    except YAMLError as error:
        raise ConfigError(f"{folder / 'config.yaml'} is damaged; delete the folder to start again") from error
    if not racing and not last_checkpoint(folder).is_file():
        raise ConfigError(f"resume: {last_checkpoint(folder)} does not exist, so there is nothing to resume from")
    return config


def last_checkpoint(folder: Path) -> Path:
    """The checkpoint that a run resumes from."""
    return folder / "checkpoints" / "last.ckpt"


def finished_score(config: DictConfig, folder: Path) -> float | None:
    """The score of a run with this config if it has finished; None if it has not begun, or not ended.

    Raises:
        AnotherRunError: if the folder holds a run with another config.
    """
    metrics = folder / "metrics.json"
    if not any(path.is_file() for path in (metrics, last_checkpoint(folder), folder / RACE / "config.yaml")):
        return None
    if _settings(_asked_config(folder)) != _settings(config):
        raise AnotherRunError(f"{folder} holds a run with another config: move it away, or choose another folder")
    if not metrics.is_file() or (folder / ERROR).is_file():
        return None
    print(f"already finished: {folder}")
    score = parse_json(metrics.read_bytes()).get("val_esr")
    return math.inf if score is None else score


def _settings(config: DictConfig) -> dict[str, Any]:
    """All options that the result of a run depends on."""
    return {**OmegaConf.to_container(config, resolve=True), "resume": None, "race": None, "logger": None}


@contextmanager
def explain_failed_writes(folder: Path) -> Iterator[None]:
    """Turn a failed write in the run folder into a UserError that says how to resume; other errors stay as they are."""
    try:
        yield
    except OSError as error:
        inside = error.filename is None or folder.resolve() in Path(str(error.filename)).resolve().parents
        if error.errno not in FAILED_WRITES or not inside:
            raise
        place = f"{error.filename}: " if error.filename else ""
        raise UserError(
            f"{place}{error.strerror}. Nothing is half written; when this is put right, the same command with the "
            "same folder (hydra.run.dir=FOLDER or resume=FOLDER) resumes from the last checkpoint"
        ) from error


def _asked_config(folder: Path) -> DictConfig:
    """The config that a run was started with: before its race, if there was one."""
    return _read_config(folder / RACE if (folder / RACE / "config.yaml").is_file() else folder)


def _read_config(folder: Path) -> DictConfig:
    """The config.yaml of a run folder, as this version writes it."""
    config = OmegaConf.load(folder / "config.yaml")
    target = OmegaConf.select(config, "training._target_")
    if target in RENAMED:
        OmegaConf.update(config, "training._target_", RENAMED[target])
    for stage in OmegaConf.select(config, "training.stages") or []:
        for old in RENAMED_FIELDS.keys() & stage.keys():
            stage[RENAMED_FIELDS[old]] = stage.pop(old)
        for name in DROPPED_FIELDS:
            stage.pop(name, None)
    for side in filter(None, (OmegaConf.select(config, f"repr.{name}") for name in ("input", "output"))):
        for argument, earlier in EARLIER.get(side._target_, {}).items():
            side.setdefault(argument, earlier)
    for name, earlier in {"knobs": None, "conditioning": "scales"}.items():
        if name not in config:
            config[name] = earlier
    for option in DROPPED:
        section, name = option.split(".")
        (config.get(section) or {}).pop(name, None)
    return config
