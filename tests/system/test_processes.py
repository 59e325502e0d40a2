"""Several processes that train one model together: the same curve as one, one report, through kills and Ctrl-C."""

import os
import signal
import subprocess
import time
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import pytest
from helpers.commands import command, forked, hooked, words_of

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")

# Teacher forcing for 20 steps, then rollouts.
STAGES = "[{share: 0.02, length: 64, free: false, noise: 0.03}, {share: 0.98, length: 64, free: true}]"


def options(folder: Path) -> list[str]:
    return ["effect=tanh", "training.steps=1000", f"training.stages={STAGES}", f"hydra.run.dir={folder}"]


def start_two(library: Path, folder: Path) -> subprocess.Popen:
    given = command(library, "trainer.devices=2", *options(folder))
    return subprocess.Popen(given, cwd=folder.parent, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def curve(lines: Iterable[str]) -> list[tuple[float, float]]:
    """(loss, selection score) of each validation until step 40."""
    steps = (words for line in lines if (words := line.split()) and words[0] == "step")
    return [(float(words[4]), float(words[7])) for words in islice(steps, 4)]


def running(folder: Path) -> list[int]:
    """The processes whose command names a folder."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = line.read_bytes().split(b"\0")
        except OSError:
            continue
        if any(str(folder).encode() in word for word in words):
            found.append(int(line.parent.name))
    return found


def test_two_processes_learn_what_one_does_leave_none_behind_when_killed_and_stop_together(library, tmp_path):
    words, folder = words_of(library, *options(tmp_path / "alone")), tmp_path / "together"
    alone = forked(lambda: hooked(40, lambda _: os.kill(os.getpid(), signal.SIGKILL), words), tmp_path)
    first = start_two(library, folder)
    together = curve(first.stdout)
    first.kill()
    first.communicate()
    # Step 10 is past the first updates, in which the optimizer multiplies rounding errors.
    assert len(together) == 4
    for one, two in zip(curve(alone.stdout.splitlines()), together, strict=True):
        assert two == pytest.approx(one, rel=0.03)

    deadline = time.monotonic() + 60
    while running(folder):
        assert time.monotonic() < deadline, "a process outlives the one that started it"
        time.sleep(0.1)

    again = start_two(library, folder)
    assert "resuming in" in again.stdout.readline()
    # The kill came after the line for step 40, and before or after its checkpoint.
    assert again.stdout.readline().split()[1] in ("40", "50")
    # To the first of them alone.
    again.send_signal(signal.SIGINT)
    output, _ = again.communicate(timeout=120)
    assert again.returncode == 0 and "interrupted" in output and output.count("model, free run") == 1
    assert (folder / "metrics.json").is_file() and not running(folder)
