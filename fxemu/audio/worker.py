"""Decode in a separate process, so that a file that hangs, crashes or bloats the decoder costs only itself.

Requests and replies are lines of JSON over pipes, a reply's samples following as raw float32. However the parent ends,
the process ends with it, since its input does.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from threading import Event, Timer
from typing import Any

import numpy as np

from fxemu.audio.channels import Array
from fxemu.audio.decoding import Decoded, read, reason
from fxemu.audio.loudness import Measurement, measure
from fxemu.audio.source import AudioError
from fxemu.files import printable

MEMORY_BYTES = 4 << 30
READ_LIMIT_S = 30.0
# Limit of wall-clock time over that of processor time: a machine may be busy, a disk slow.
WAIT = 10
# The niceness of a process that works in the background.
BACKGROUND_NICENESS = 10


class Worker:
    """One decoding process, started when it is first needed and again after it had to be ended.

    Args:
        patience: factor on the time limits.
    """

    def __init__(self, patience: float = 1.0) -> None:
        self.patience = patience
        self.process: subprocess.Popen[bytes] | None = None
        # Whether the last file ran into the wall-clock limit, which says nothing about the file.
        self.timed_out = False

    def measure(self, path: str, background: bool = False) -> Measurement:
        """`fxemu.audio.loudness.measure` in the process; never raises, as the error is in the result.

        From the first call with `background` on, the process has a low priority.
        """
        try:
            # 20 s of processor time and a second more for each megabyte, which holds six seconds of audio or more.
            megabytes = os.stat(path).st_size / 1e6
            reply, _ = self._ask(path, (20 + megabytes) * self.patience, task="measure", background=background)
        except (AudioError, OSError) as error:
            return Measurement(error=getattr(error, "strerror", None) or reason(path, error))
        return Measurement(**reply)

    def read(self, path: str, sample_rate: int, start_s: int, seconds: int) -> Decoded:
        """`fxemu.audio.decoding.read` in the process, with its errors."""
        request = {"sample_rate": sample_rate, "start_s": start_s, "seconds": seconds}
        reply, data = self._ask(path, READ_LIMIT_S * self.patience, task="read", **request)
        if "failed" in reply:
            raise AudioError(reply["failed"])
        return Decoded(np.frombuffer(data, np.float32), reply["rate"], reply["damage"])

    def interrupt(self) -> None:
        """End the process from another thread, and with it the call that waits for it."""
        if process := self.process:
            process.kill()

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def _ask(self, path: str, limit_s: float, **request: Any) -> tuple[dict[str, Any], bytes]:
        if self.process is None or self.process.poll() is not None:
            self.process = _start()
        process, late = self.process, Event()
        timer = Timer(WAIT * limit_s, lambda: (late.set(), process.kill()))
        timer.start()
        self.timed_out = False
        try:
            return _exchange(
                process, {"path": os.path.abspath(path), "limits_s": (limit_s, 2 * WAIT * limit_s), **request}
            )
        except (OSError, ValueError) as error:
            self.timed_out, status = late.is_set(), process.wait()
            self.close()
            raise AudioError(f"{printable(path)}: {_failure(self.timed_out, status, limit_s)}") from error
        except BaseException:
            # Interrupted within a reply: the next one would be misread.
            self.close()
            raise
        finally:
            timer.cancel()


def _failure(timed_out: bool, status: int, limit_s: float) -> str:
    """Why there was no reply, from how the process ended."""
    if timed_out:
        return f"gave no answer in {WAIT * limit_s:.0f} s"
    busy = hasattr(signal, "SIGPROF") and status == -signal.SIGPROF
    return f"took longer than {limit_s:.0f} s" if busy else "made the decoder crash"


def _exchange(process: subprocess.Popen[bytes], request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Send a request, wait for the reply and the samples after it; ValueError if the process ends on the way."""
    process.stdin.write(json.dumps(request).encode() + b"\n")
    process.stdin.flush()
    reply = json.loads(process.stdout.readline())
    data = process.stdout.read(size := reply.pop("bytes"))
    if len(data) != size:
        raise ValueError("cut off")
    return reply, data


def _start() -> subprocess.Popen[bytes]:
    """A process in its own session, so that Ctrl-C reaches the parent alone, which ends it."""
    packages = os.pathsep.join(filter(None, [str(Path(__file__).parent.parent.parent), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": packages, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-m", "fxemu.audio.worker"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen(command, env=environment, start_new_session=True, **pipes)


def _reply(task: str, path: str, **arguments: Any) -> tuple[dict[str, Any], bytes]:
    if task == "measure":
        if arguments["background"] and hasattr(os, "nice"):
            os.nice(max(0, BACKGROUND_NICENESS - os.nice(0)))
        return asdict(measure(path)), b""
    try:
        decoded = read(path, **arguments)
    except AudioError as error:
        return {"failed": str(error)}, b""
    samples: Array = np.ascontiguousarray(decoded.samples)
    return {"rate": decoded.rate, "damage": decoded.damage}, samples.tobytes()


def main() -> None:
    """Serve requests from stdin until it ends."""
    np.seterr(all="ignore")
    if sys.platform != "win32":
        import resource

        most = resource.getrlimit(resource.RLIMIT_AS)[1]
        most = MEMORY_BYTES if most == resource.RLIM_INFINITY else min(most, MEMORY_BYTES)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    # FFmpeg may print to stdout, which must not get between the replies.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin.buffer:
        request = json.loads(line)
        _limit(*request.pop("limits_s"))
        reply, data = _reply(**request)
        _limit(0, 0)
        replies.write(json.dumps({**reply, "bytes": len(data)}).encode() + b"\n" + data)
        replies.flush()


def _limit(busy_s: float, wait_s: float) -> None:
    """End this process after so much processor time or wall-clock time: there may be no parent left to end it."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, busy_s)
        signal.setitimer(signal.ITIMER_REAL, wait_s)


if __name__ == "__main__":
    main()
