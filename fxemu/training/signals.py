"""The signals that end a training: Ctrl-C, SIGTERM, which schedulers send, and SIGHUP, when the terminal is lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType

from fxemu.errors import Terminated

ENDS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
Handler = Callable[[int, FrameType | None], None]


def handle_ends(handler: Handler) -> dict[int, object]:
    """Have a function take the signals of ENDS, in the main thread only; returns the handlers before, by number.

    Those that are ignored stay so, as SIGHUP under nohup, but for Ctrl-C, which a shell has commands in the background
    ignore, and which another process may send all the same.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    taken = [number for number in ENDS if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in taken}


def restore_default_ends() -> None:
    """Let the next signal of ENDS end the process."""
    for number in ENDS:
        signal.signal(number, _end if number == signal.SIGINT else signal.SIG_DFL)


def _end(number: int, frame: FrameType | None) -> None:
    # Not as a KeyboardInterrupt, which Lightning takes for itself and exits with status 1.
    raise Terminated(number)
