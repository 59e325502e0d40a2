"""Lines for the user: printed, and kept in the run's log."""

from __future__ import annotations

import logging
import sys

LOG = logging.getLogger(__name__)


def tell(text: str, error: bool = False) -> None:
    """Print on standard output (or standard error), and write to train.log."""
    print(text, file=sys.stderr if error else sys.stdout, flush=True)
    LOG.info(text.strip())


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, as 1:02:03 or 2:03."""
    hours, rest = divmod(round(seconds), 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
