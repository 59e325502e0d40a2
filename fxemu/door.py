"""The user's door to training: the config first, then a look at the library, each before what can wait is imported."""

from __future__ import annotations

import gc
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.utils import get_original_cwd
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fxemu.errors import ConfigError, UserError
from fxemu.first_look import FirstLook, first_look
from fxemu.start import CONF, checkpoint, claimed, explained, saved_config
from fxemu.sweep import finished_score, in_sweep, one_of_many

# Options that are folders or files.
PATHS = ("data.library", "data.index", "data.cache", "effect.dry", "effect.wet", "effect.path", "effect.file")


def _look(config: DictConfig) -> FirstLook | None:
    """What there is to train on; None for recordings, and if anything is wrong: who checks the config will say what."""
    if config.effect.get("_target_") == "fxemu.effects.Recorded":
        return None
    data = config.data
    try:
        where = data.library, data.glob, data.file_count, data.index
        shares = data.val_share, data.test_share
        return first_look(*where, data.excerpts, shares, data.split_seed, config.seed)
    except (UserError, OmegaConfBaseException, OSError, TypeError, ValueError):
        return None


def _run(config: DictConfig, folder: Path, resume: Path | None) -> float:
    """`fxemu.train.run`; the songs that it needs to begin are measured while what it needs is imported."""
    with _importing():
        from fxemu.task import task

        made = task(config)
        look = _look(config)
        from fxemu.train import run
    return run(config, folder, resume, made, look)


@contextmanager
def _importing() -> Iterator[None]:
    """Nothing that is imported is garbage: to look for some would take a tenth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _start(config: DictConfig, folder: Path) -> float:
    """Begin a run, or go on with what an earlier start has left in its folder."""
    with claimed(folder):
        return _go_on(config, folder)


def _go_on(config: DictConfig, folder: Path) -> float:
    if config.resume:
        return _run(saved_config(folder), folder, checkpoint(folder))
    if config.data.library is None:
        raise ConfigError("data.library: got null; must be a folder of songs")
    for name in PATHS:
        if (path := OmegaConf.select(config, name)) is not None:
            # So that the run is the same from wherever it goes on.
            OmegaConf.update(config, name, str(Path(get_original_cwd()) / str(path)))
    score = finished_score(config, folder)
    return _run(config, folder, checkpoint(folder)) if score is None else score


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
def _main(config: DictConfig) -> float:
    folder = Path(HydraConfig.get().runtime.output_dir)
    # Here too, lest Hydra adds a line of its own.
    with _errors_in_a_line():
        return one_of_many(partial(_start, config, folder), folder) if in_sweep() else _start(config, folder)


@contextmanager
def _errors_in_a_line() -> Iterator[None]:
    """What a user can mend ends the program with a message and without a traceback."""
    try:
        yield
    except (UserError, OSError, CompactHydraException, OmegaConfBaseException) as error:
        print(f"error: {explained(error)}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def arguments(given: list[str]) -> list[str]:
    """Hydra's overrides for ours: `repr.input=raw` chooses one side, `resume=RUN` goes on in that folder,
    and `dry=`, `wet=` and `force=` belong to `effect=recorded`.

    Raises:
        ConfigError: for a group without a choice, or a run that cannot go on.
    """
    for word in given:
        if re.fullmatch(r"(effect|repr|repr\.(input|output)|model|loss|training|data|trainer)=(null)?", word):
            raise ConfigError(f"{word}: an option must be chosen; `python train.py --help` lists them")
    result = [re.sub(r"^repr\.(input|output)=(?=[\w,]+$)", r"representation@repr.\1=", word) for word in given]
    result = [re.sub(r"^(?=(dry|wet|force)=)", "effect.", word) for word in result]
    result = [re.sub(rf"^({'|'.join(map(re.escape, PATHS))})=(.+)", _quoted, word) for word in result]
    for word in given:
        if word.startswith("resume=") and word != "resume=null":
            folder = _quote(str(_resumed(word, given).resolve()))
            result[given.index(word)] = f"resume={folder}"
            result.append(f"hydra.run.dir={folder}")
    return result


def _resumed(word: str, given: list[str]) -> Path:
    """The folder of the run that is to go on, with its own options."""
    folder = word.removeprefix("resume=")
    if quoted := re.fullmatch(r"(['\"])(.*)\1", folder):
        folder = quoted[2].replace("\\'", "'")
    if not folder or not Path(folder).is_dir():
        raise ConfigError(f"{word}: no such folder; give that of the run that is to go on")
    others = [other for other in given if other != word and not other.startswith(("hydra.", "-"))]
    if others:
        raise ConfigError(f"{word}: it goes on with the options that it began with; leave out {' '.join(others)}")
    return Path(folder)


def _quoted(found: re.Match[str]) -> str:
    """A folder or file as Hydra takes it for one, whatever is in its name; lists and quoted ones stay as they are."""
    name, value = found.groups()
    if value == "null" or re.search(r"^['\"\[]|,|\$\{", value):
        return found[0]
    return f"{name}={_quote(os.path.expanduser(value))}"


def _quote(text: str) -> str:
    return "'" + re.sub(r"(\\*)('|$)", lambda end: 2 * end[1] + ("\\'" if end[2] else ""), text) + "'"


def main(given: list[str] | None = None) -> None:
    """Run training with Hydra overrides (default: those on the command line)."""
    if given is not None:
        # What Lightning starts further processes of a run with.
        sys.argv[0], sys.modules["__main__"].__spec__ = __file__, None
    # Hydra's errors come to us, to be said in a line.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    with _errors_in_a_line():
        sys.argv[1:] = arguments(sys.argv[1:] if given is None else given)
        _main()


if __name__ == "__main__":
    main()
