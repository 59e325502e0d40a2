"""Translation of fxemu's command-line shorthands into Hydra overrides."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.errors import HydraException
from hydra.utils import get_original_cwd
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fxemu.errors import ConfigError
from fxemu.training.run_folder import CONF

# Options that are folders or files.
PATHS = ("data.library", "data.index", "data.cache", "effect.dry", "effect.wet", "effect.path", "effect.file")


def arguments(given: list[str]) -> list[str]:
    """Translate our overrides to Hydra's: `repr.input=raw` chooses one side, `resume=RUN` resumes in that folder,
    and `dry=`, `wet=` and `force=` belong to `effect=recorded`.

    Raises:
        ConfigError: for a group without a choice, or a run that cannot be resumed.
    """
    for word in given:
        if re.fullmatch(r"(effect|repr|repr\.(input|output)|model|loss|training|data)=(null)?", word):
            raise ConfigError(f"{word}: an option must be chosen; `python train.py --help` lists them")
    result = [re.sub(r"^(?=(dry|wet|force)=)", "effect.", word) for word in _sides(given)]
    result = [re.sub(rf"^({'|'.join(map(re.escape, PATHS))})=(.+)", _quoted, word) for word in result]
    for word in given:
        if word.startswith("resume=") and word != "resume=null":
            folder = _quote(str(_resumed(word, given).resolve()))
            result[given.index(word)] = f"resume={folder}"
            result.append(f"hydra.run.dir={folder}")
    return result


def _sides(given: list[str]) -> list[str]:
    """Replace `repr.input=A` and `repr.output=B` by choices of the group `repr`, whose output follows its input."""
    chosen = dict(word.split("=", 1) for word in given if re.fullmatch(r"repr(\.(input|output))?=[\w,]+", word))
    if chosen.keys() <= {"repr"}:
        return given
    rest = [word for word in given if word.split("=", 1)[0] not in chosen]
    both = chosen.get("repr") or _default_repr()
    return [*rest, f"repr={chosen.get('repr.input', both)}", f"repr@repr.output={chosen.get('repr.output', both)}"]


def _default_repr() -> str:
    return next(entry["repr"] for entry in OmegaConf.load(CONF / "train.yaml").defaults if "repr" in entry)


def _resumed(word: str, given: list[str]) -> Path:
    """The folder of the run to resume; no other options may be given."""
    folder = word.removeprefix("resume=")
    if quoted := re.fullmatch(r"(['\"])(.*)\1", folder):
        folder = quoted[2].replace("\\'", "'")
    if not folder or not Path(folder).is_dir():
        raise ConfigError(f"{word}: no such folder; give that of the run to resume")
    others = [other for other in given if other != word and not other.startswith(("hydra.", "-"))]
    if others:
        raise ConfigError(f"{word}: a run is resumed with the options that it began with; leave out {' '.join(others)}")
    return Path(folder)


def _quoted(found: re.Match[str]) -> str:
    """A folder or file as Hydra takes it for one, whatever is in its name; lists and quoted ones stay as they are."""
    name, value = found.groups()
    if value == "null" or re.search(r"^['\"\[]|,|\$\{", value):
        return found[0]
    return f"{name}={_quote(os.path.expanduser(value))}"


def _quote(text: str) -> str:
    return "'" + re.sub(r"(\\*)('|$)", lambda end: 2 * end[1] + ("\\'" if end[2] else ""), text) + "'"


def absolute_paths(config: DictConfig) -> DictConfig:
    """A copy of a config whose folders and files are absolute, relative ones being below the folder of the command."""
    config = copy.deepcopy(config)
    for name in PATHS:
        if (path := OmegaConf.select(config, name)) is not None:
            OmegaConf.update(config, name, str(Path(get_original_cwd()) / str(path)))
    return config


@contextmanager
def config_errors() -> Iterator[None]:
    """Hydra's and OmegaConf's errors as a ConfigError with their message."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(str(error)) from error
