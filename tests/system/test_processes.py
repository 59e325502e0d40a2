"""Several processes that train one model together: the same curve as one, one report, through kills and Ctrl-C."""

import signal
import subprocess
import time
from pathlib import Path

import pytest
from helpers.commands import command

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")

# Teacher forcing for 20 steps, then rollouts.
STAGES = "[{share: 0.02, length: 64, free: false, noise: 0.03}, {share: 0.98, length: 64, free: true}]"


def start(library: Path, folder: Path, processes: int) -> subprocess.Popen:
    options = f"hydra.run.dir={folder}", f"trainer.devices={processes}", f"training.stages={STAGES}"
    given = command(library, "effect=tanh", "training.steps=1000", *options)
    return subprocess.Popen(given, cwd=folder.parent, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def killed(run: subprocess.Popen, at_step: int) -> list[tuple[float, float]]:
    """(loss, selection score) of each validation until that step, at which the process started first is killed."""
    curve = []
    for line in run.stdout:
        words = line.split()
        if words[0] == "step":
            curve.append((float(words[4]), float(words[7])))
            if int(words[1]) == at_step:
                break
    run.kill()
    run.communicate()
    return curve


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
    curves = [killed(start(library, tmp_path / str(count), count), at_step=40) for count in (1, 2)]
    # Step 10 is past the first updates, in which the optimizer multiplies rounding errors.
    assert len(curves[0]) == len(curves[1]) == 4
    for one, two in zip(*curves, strict=True):
        assert two == pytest.approx(one, rel=0.03)

    folder = tmp_path / "2"
    deadline = time.monotonic() + 60
    while running(folder):
        assert time.monotonic() < deadline, "a process outlives the one that started it"
        time.sleep(0.1)

    again = start(library, folder, 2)
    assert "resuming in" in again.stdout.readline()
    # The kill came after the line for step 40, and before or after its checkpoint.
    assert again.stdout.readline().split()[1] in ("40", "50")
    # To the first of them alone.
    again.send_signal(signal.SIGINT)
    output, _ = again.communicate(timeout=120)
    assert again.returncode == 0 and "interrupted" in output and output.count("model, free run") == 1
    assert (folder / "metrics.json").is_file() and not running(folder)
