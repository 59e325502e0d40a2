"""The user's door to training: the config first, then a look at the library, each before what can wait is imported."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_original_cwd
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fxemu.cli.errors import one_line_errors
from fxemu.errors import ConfigError, UserError
from fxemu.library.scan import LibraryScan, first_look
from fxemu.training.overrides import PATHS, arguments, config_errors
from fxemu.training.run_folder import CONF, checkpoint, claimed, finished_score, in_sweep, resumable, saved_config
from fxemu.training.sweep import one_of_many


def _look(config: DictConfig) -> LibraryScan | None:
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
        from fxemu.training.parts import task

        made = task(config)
        look = _look(config)
        from fxemu.training.run import run
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
    with resumable(folder), claimed(folder):
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
    with one_line_errors(), config_errors():
        return one_of_many(partial(_start, config, folder), folder) if in_sweep() else _start(config, folder)


def main(given: list[str] | None = None) -> None:
    """Run training with Hydra overrides (default: those on the command line)."""
    if given is not None:
        # What Lightning starts further processes of a run with.
        sys.argv[0], sys.modules["__main__"].__spec__ = __file__, None
    # Hydra's errors come to us, to be said in a line.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    with one_line_errors(), config_errors():
        sys.argv[1:] = arguments(sys.argv[1:] if given is None else given)
        _main()


if __name__ == "__main__":
    main()
