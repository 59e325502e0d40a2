"""Printing of errors that a user can mend: one line on standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from fxemu.cli.installation import broken_installation
from fxemu.errors import UserError


@contextmanager
def one_line_errors(interrupted: str = "interrupted") -> Iterator[None]:
    """End the program with "error: ..." and status 1 for a UserError or an OSError, and with 130 for Ctrl-C.

    Args:
        interrupted: what is printed on Ctrl-C.

    Any other error is either that of a broken installation, and ends in a line too, or a fault of ours, and keeps its
    traceback.
    """
    try:
        yield
    except BrokenPipeError:
        # Who read our output, such as `head`, has enough; nothing is left to be flushed when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        line = _line(error) or broken_installation()
        if line is None:
            raise
        print(f"error: {line}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        sys.exit(130)


def _line(error: Exception) -> str | None:
    """The line for an error that a user can mend; None for any other error."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.errno is not None:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return None
