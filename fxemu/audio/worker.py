"""Decoding in a process of its own, so that a file which hangs, crashes or bloats the decoder costs only itself.

The two talk in lines of JSON over pipes, samples following as raw float32. The process ends with its parent, however
that ends, for its input does.
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

from fxemu.audio.decoding import Array, AudioError, Decoded, read, reason
from fxemu.audio.loudness import Measurement, measure
from fxemu.files import printable

MEMORY_BYTES = 4 << 30
READ_LIMIT_S = 30.0
# How many times its limit of processor time a file may take on a busy machine, or where the disk does not answer.
WAIT = 10
# Added to the process's niceness.
BACKGROUND = 10


class Worker:
    """One decoding process, started when it is first needed and again after it had to be ended.

    Args:
        patience: how many times the usual time limits a file may take.
    """

    def __init__(self, patience: float = 1.0) -> None:
        self.patience = patience
        self.process: subprocess.Popen[bytes] | None = None
        # Whether the last file failed for want of an answer: another time there may be one.
        self.waited = False

    def measure(self, path: str, background: bool = False) -> Measurement:
        """`fxemu.audio.loudness.measure`, which never fails: the error is in the result.

        From the first call in the background on, the process lets others go first.
        """
        try:
            # Generous: 20 s of processor time and a second more for each megabyte, which holds six seconds or more.
            megabytes = os.stat(path).st_size / 1e6
            reply, _ = self._ask(path, (20 + megabytes) * self.patience, task="measure", background=background)
        except (AudioError, OSError) as error:
            return Measurement(error=getattr(error, "strerror", None) or reason(path, error))
        return Measurement(**reply)

    def read(self, path: str, sample_rate: int, start_s: int, seconds: int) -> Decoded:
        """`fxemu.audio.decoding.read`, with its errors."""
        request = {"sample_rate": sample_rate, "start_s": start_s, "seconds": seconds}
        reply, data = self._ask(path, READ_LIMIT_S * self.patience, task="read", **request)
        if "failed" in reply:
            raise AudioError(reply["failed"])
        return Decoded(np.frombuffer(data, np.float32), reply["rate"], reply["damage"])

    def interrupt(self) -> None:
        """From another thread: end what the process is doing, and so the call that waits for it."""
        if process := self.process:
            process.kill()

    def close(self) -> None:
        """End the process, at once."""
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
        self.waited = False
        try:
            return _exchange(
                process, {"path": os.path.abspath(path), "limits_s": (limit_s, 2 * WAIT * limit_s), **request}
            )
        except (OSError, ValueError) as error:
            self.waited, status = late.is_set(), process.wait()
            self.close()
            raise AudioError(f"{printable(path)}: {_ending(self.waited, status, limit_s)}") from error
        except BaseException:
            # Interrupted: the two no longer agree on where a reply begins.
            self.close()
            raise
        finally:
            timer.cancel()


def _ending(waited: bool, status: int, limit_s: float) -> str:
    """Why a process that should have answered did not."""
    if waited:
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
    """A process in a session of its own: Ctrl-C is for the parent, which ends it."""
    packages = os.pathsep.join(filter(None, [str(Path(__file__).parent.parent.parent), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": packages, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-m", "fxemu.audio.worker"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen(command, env=environment, start_new_session=True, **pipes)


def _answer(task: str, path: str, **arguments: Any) -> tuple[dict[str, Any], bytes]:
    if task == "measure":
        if arguments["background"] and hasattr(os, "nice"):
            os.nice(max(0, BACKGROUND - os.nice(0)))
        return asdict(measure(path)), b""
    try:
        decoded = read(path, **arguments)
    except AudioError as error:
        return {"failed": str(error)}, b""
    samples: Array = np.ascontiguousarray(decoded.samples)
    return {"rate": decoded.rate, "damage": decoded.damage}, samples.tobytes()


def main() -> None:
    """Answer requests until there are no more."""
    np.seterr(all="ignore")
    if sys.platform != "win32":
        import resource

        most = resource.getrlimit(resource.RLIMIT_AS)[1]
        most = MEMORY_BYTES if most == resource.RLIM_INFINITY else min(most, MEMORY_BYTES)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    # What FFmpeg prints must not get between the replies.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin.buffer:
        request = json.loads(line)
        _limit(*request.pop("limits_s"))
        reply, data = _answer(**request)
        _limit(0, 0)
        replies.write(json.dumps({**reply, "bytes": len(data)}).encode() + b"\n" + data)
        replies.flush()


def _limit(busy_s: float, wait_s: float) -> None:
    """End this process by itself after so much work, or so long altogether: there may be no parent left to end it."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, busy_s)
        signal.setitimer(signal.ITIMER_REAL, wait_s)


if __name__ == "__main__":
    main()
