"""Checks of a config before anything is built from it."""

from __future__ import annotations

import difflib
import re
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from fxemu.arguments import check_arguments
from fxemu.errors import ConfigError
from fxemu.training.run_folder import CONF

MOST_THREADS = 1024
# Not Apple's mps: it has no float64, which oscillators and long averages need, and a rollout is thousands of short
# operations, for which the compiled loops of the CPU are parts.
ACCELERATORS = ("auto", "cpu", "cuda")


def check_config(config: DictConfig) -> None:
    """Check the names and values of a config; what a class itself checks is left to it.

    Raises:
        ConfigError: for a section or a class that is not fxemu's, an argument that a class does not have, or a value of
            another type or out of range.
    """
    known = _sections() | {"race"}
    if unknown := [name for name in config if name not in known]:
        raise ConfigError(no_such_option(unknown[0]))
    _check_values(config)
    for name, section in OmegaConf.to_container(config, resolve=True).items():
        # Lightning's loggers are checked where they are made.
        if name != "logger":
            _check_arguments(section, name)


def no_such_option(name: str) -> str:
    """The message for an option that the config lacks: which choices of its group have it, or what it resembles."""
    group, _, key = name.partition(".")
    options = {path.stem: OmegaConf.load(path) for path in sorted((CONF / group).glob("*.yaml"))} if key else {}
    if having := [choice for choice, option in options.items() if key in option]:
        return f"{name}: the chosen {group} has no such option; it is one of {group}={f', {group}='.join(having)}"
    main = OmegaConf.load(CONF / "train.yaml").get(group)
    options |= {"train": main} if isinstance(main, DictConfig) else {}
    names = _sections() | {f"{group}.{each}" for option in options.values() for each in option}
    alike = difflib.get_close_matches(name, names, 1, 0.7)
    hint = f"did you mean {alike[0]}? " if alike else ""
    return f"{name}: no such option; {hint}`python train.py --help` lists them"


def _sections() -> set[str]:
    """Names at the top of a config."""
    return {path.name for path in CONF.iterdir() if path.is_dir()} | set(OmegaConf.load(CONF / "train.yaml"))


def _check_values(config: DictConfig) -> None:
    """ConfigError if a value that is no argument of a part is out of range."""
    if config.data.library is None:
        raise ConfigError("data.library: got null; must be a folder of songs")
    _check_whole("seed", config.seed, 0, 2**32 - 1)
    for name in ("segment", "batch_size", "batches_per_epoch", "excerpts"):
        _check_whole(f"data.{name}", config.data[name], 1, 2**31 - 1)
    if config.data.file_count is not None:
        _check_whole("data.file_count", config.data.file_count, 3, 2**31 - 1)
    if config.patience is not None:
        _check_whole("patience", config.patience, 1, 2**31 - 1)
    if config.threads is not None:
        _check_whole("threads", config.threads, 1, MOST_THREADS)
    if isinstance(config.trainer.devices, int):
        _check_whole("trainer.devices", config.trainer.devices, 1, MOST_THREADS)
    if not re.fullmatch(r"\d+(:\d+){3}", str(config.trainer.max_time or "0:0:0:0")):
        raise ConfigError(
            f"trainer.max_time: got {config.trainer.max_time!r}; must be days:hours:minutes:seconds, as 00:00:05:00"
        )
    if config.trainer.accelerator not in ACCELERATORS:
        raise ConfigError(
            f"trainer.accelerator: got {config.trainer.accelerator!r}; must be one of {', '.join(ACCELERATORS)}"
        )


def _check_whole(name: str, value: Any, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ConfigError(f"{name}: got {value!r}; must be a whole number from {least} to {most}")


def _check_arguments(node: Any, place: str) -> None:
    """ConfigError if a `_target_` names something outside fxemu, or has arguments that it cannot take."""
    if isinstance(node, dict) and (target := node.get("_target_")) is not None:
        if not _is_ours(str(target)):
            raise ConfigError(f"_target_: got {target!r}; a config may name fxemu's own classes only")
        given = {name: value for name, value in node.items() if not str(name).startswith("_")}
        try:
            check_arguments(get_object(target), given, place)
        except ImportError:
            pass  # there is no such class: instantiating it fails with a better message
        except ValueError as error:
            raise ConfigError(str(error)) from error
    for name, child in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        _check_arguments(child, f"{place}.{name}")


def _is_ours(target: str) -> bool:
    """Whether a dotted name is of a class defined in fxemu, not of something that a module of ours has imported."""
    if not re.fullmatch(r"fxemu(\.\w+)+", target):
        return False
    try:
        kind = get_object(target)
    except (ImportError, ValueError):
        return True  # there is no such class: instantiating it fails with a better message
    return isinstance(kind, type) and kind.__module__.startswith("fxemu.")
