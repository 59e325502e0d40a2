"""Printing of errors that a user can mend: one line on standard error."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from fxemu.cli.installation import broken_installation
from fxemu.errors import Terminated, UserError
from fxemu.files import printable


@contextmanager
def one_line_errors(interrupted: str = "interrupted") -> Iterator[None]:
    """End the program with "error: ..." and status 1 for a UserError or an OSError, and as shells do for a signal.

    Args:
        interrupted: what is printed on Ctrl-C (status 130), SIGTERM (143) and the loss of the terminal (129).

    Any other error is either that of a broken installation, and ends in a line too, or a fault of ours, and keeps its
    traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        # A path or a tag may hold what the terminal's encoding cannot.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with _terminable():
            yield
    except BrokenPipeError:
        # Who read our output, such as `head`, has enough; nothing is left to be flushed when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        line = _line(error) or broken_installation()
        if line is None:
            raise
        # Lines may be several, but no name in them may move the cursor or colour the terminal.
        print("error: " + "\n".join(map(printable, line.expandtabs(4).split("\n"))), file=sys.stderr)
        sys.exit(1)
    except (KeyboardInterrupt, Terminated) as error:
        # The terminal may be gone.
        with suppress(OSError):
            print(interrupted, file=sys.stderr)
        sys.exit(128 + getattr(error, "number", signal.SIGINT))


@contextmanager
def _terminable() -> Iterator[None]:
    """Raise Terminated in the main thread for signals that would end the process without a word."""
    numbers = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    ours = threading.current_thread() is threading.main_thread()
    # Not those that are ignored, as under nohup.
    changed = [number for number in numbers if ours and signal.getsignal(number) == signal.SIG_DFL]
    try:
        for number in changed:
            signal.signal(number, _terminate)
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)


def _terminate(number: int, frame: Any) -> None:
    raise Terminated(number)


def _line(error: Exception) -> str | None:
    """The line for an error that a user can mend; None for any other error."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.errno is not None:
        return f"{printable(str(error.filename))}: {error.strerror}" if error.filename else error.strerror
    return None
