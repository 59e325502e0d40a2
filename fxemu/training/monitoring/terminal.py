"""Lines for the user: printed, and kept in the run's log."""

from __future__ import annotations

import errno
import logging
import os
import stat
import sys

from tqdm import tqdm

LOG = logging.getLogger(__name__)


def tell(text: str, error: bool = False) -> None:
    """Print on standard output (or standard error) as long as there is a terminal, and write to train.log."""
    try:
        # Above the line of progress, where there is one.
        with tqdm.external_write_mode(sys.stdout):
            print(text, file=sys.stderr if error else sys.stdout, flush=True)
    except OSError as problem:
        if problem.errno != errno.EIO:
            raise
        _leave_terminal()
    LOG.info(text.strip())


def _leave_terminal() -> None:
    """Discard later output to a terminal that is gone; files and pipes are kept."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for output in (sys.stdout.fileno(), sys.stderr.fileno()):
        if stat.S_ISCHR(os.fstat(output).st_mode):
            os.dup2(nowhere, output)


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, as 1:02:03 or 2:03."""
    hours, rest = divmod(round(seconds), 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
