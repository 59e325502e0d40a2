"""Failure isolation in sweeps: a run that fails does not end the others, and all failures are listed at the end."""

from __future__ import annotations

import math
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from fxemu.errors import UserError
from fxemu.training.run_folder import ERROR, AnotherRunError, BusyFolderError


def run_in_sweep(run: Callable[[], float], folder: Path) -> float:
    """Return `run()`, or infinity, the worst score, if it fails; the reason is printed and written to the folder.

    What another sweep is running in the same folder is left to it. Where that folder holds another run, the reason is
    written beside it.

    Args:
        run: trains in `folder` and returns a score.
    """
    try:
        (folder / ERROR).unlink(missing_ok=True)
        return run()
    except BusyFolderError as error:
        print(f"left out: {error}", file=sys.stderr)
        return math.inf
    except Exception as error:
        known = isinstance(error, UserError | OSError)
        if isinstance(error, AnotherRunError):
            folder = folder.with_name(f"{folder.name}-refused")
        # The disk may be full.
        with suppress(OSError):
            folder.mkdir(exist_ok=True)
            (folder / ERROR).write_text(f"{error}\n" if known else traceback.format_exc(), encoding="utf-8")
        print(f"error: {folder}: {error if known else repr(error)}", file=sys.stderr)
        return math.inf


class ReportFailures(Callback):
    """Ends a sweep in which runs failed with a list of them and exit status 1."""

    begun = 0.0

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        self.begun = time.time()

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        # Another sweep may have left some in the same folder.
        reasons = sorted(Path(config.hydra.sweep.dir).rglob(ERROR))
        failed = [path for path in reasons if path.stat().st_mtime >= self.begun]
        if not failed:
            return
        print(f"{len(failed)} run(s) failed; the same command tries these again, and no others:", file=sys.stderr)
        for path in failed:
            *_, reason = path.read_text(encoding="utf-8").strip().splitlines() or ["no reason given"]
            print(f"  {path.parent}: {reason}", file=sys.stderr)
        sys.exit(1)
