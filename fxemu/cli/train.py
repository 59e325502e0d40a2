"""`python train.py ...` and `fxemu train ...`: command-line entry to training (`fxemu.training.run`)."""

from __future__ import annotations

import gc
import os
import sys
from functools import partial
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_original_cwd
from omegaconf import DictConfig

from fxemu.cli.errors import one_line_errors
from fxemu.errors import UserError
from fxemu.training.overrides import arguments, command_line, config_errors
from fxemu.training.run_folder import CONF, in_sweep, removed_if_refused
from fxemu.training.sweep import run_in_sweep


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
def _main(config: DictConfig) -> float:
    """Run one training: Hydra calls this once, or once for each run of a sweep."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    # Here too, lest Hydra adds a line of its own.
    with one_line_errors(_how_to_continue(folder)), config_errors():
        # Where the command was given, whatever `hydra.job.chdir` says: for the modules of `effect=python`.
        sys.path.insert(0, get_original_cwd())
        # Nothing imported is garbage, and looking for some takes a fifth of the time: 5.3 s of processor time become
        # 4.3 s (python -c "import gc, time; gc.disable(); import fxemu.training.run; print(time.process_time())").
        gc.disable()
        # Imported here, so that --help and a mistyped option need not wait for PyTorch and Lightning.
        from fxemu.training.run import run

        gc.enable()
        if in_sweep():
            return run_in_sweep(partial(run, config, folder), folder)
        with removed_if_refused(folder):
            return run(config, folder)


def _how_to_continue(folder: Path) -> str:
    """The line for a process that is ended before its report: the command that continues the run, or the sweep."""
    if in_sweep():
        place = f"hydra.sweep.dir={Path(HydraConfig.get().sweep.dir).absolute()}"
        words = [word for word in sys.argv[1:] if not word.startswith("hydra.sweep.dir=")]
        return f"\ninterrupted; to continue the sweep: {command_line(*words, place)}"
    return f"\ninterrupted; once it has a checkpoint it is continued by: {command_line(f'resume={folder}')}"


def main(given: list[str] | None = None) -> None:
    """Run training with Hydra overrides (default: those on the command line)."""
    if given is not None:
        # What Lightning starts further processes of a run with.
        sys.argv[0], sys.modules["__main__"].__spec__ = __file__, None
    # So that Hydra raises its errors, which are printed in one line.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    with one_line_errors(), config_errors():
        sys.argv[1:] = arguments(sys.argv[1:] if given is None else given)
        try:
            _main()
        except OSError as error:
            if error.errno is None:
                raise
            # Of making the folder, which is Hydra's work.
            raise UserError(
                f"{error.filename}: {error.strerror}; choose a folder that can be written: hydra.run.dir=FOLDER, or "
                "hydra.sweep.dir=FOLDER of a sweep"
            ) from error


if __name__ == "__main__":
    main()
