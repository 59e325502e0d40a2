"""Whole commands as tests run them: a training, a sweep, and `fxemu prepare`."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

from fxemu.cli.train import main
from fxemu.training.module import TrainingModule

ROOT = Path(__file__).resolve().parent.parent.parent
# Without a limit of time, by which the learning rate falls too: results do not depend on how busy the machine is.
FAST = ["model=mlp", "debug=fast", "data.sample_rate=8000", "data.segment=256", "trainer.accelerator=cpu", "threads=1"]
FAST += ["trainer.max_time=null"]
# An effect that halves a song and logs its start; it waits while there is a file `wait`. Neither file is an argument,
# since the wet cache depends on the files that are.
HALF = (
    "import pathlib, sys, time; from scipy.io import wavfile\n"
    "here = pathlib.Path(__file__); here.with_name('begun').open('a').write('begun\\n')\n"
    "while here.with_name('wait').exists(): time.sleep(0.1)\n"
    "rate, dry = wavfile.read(sys.argv[1]); wavfile.write(sys.argv[2], rate, dry / 2)"
)


def words_of(library: Path, *overrides: str) -> list[str]:
    """The words after `train.py` of a small training."""
    return [f"data.library={library}", *FAST, *overrides]


def command(library: Path, *overrides: str) -> list[str]:
    return [sys.executable, str(ROOT / "train.py"), *words_of(library, *overrides)]


def train(library: Path, folder: Path, *overrides: str) -> subprocess.CompletedProcess:
    return forked(lambda: main(words_of(library, *overrides, f"hydra.run.dir={folder}")), folder.parent)


def forked(program: Callable[[], object], folder: Path) -> subprocess.CompletedProcess:
    """Run a program as a process of its own in a folder, but for the seconds that its imports take: they are done."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = os.fork()
        if not child:
            signal.alarm(300)
            os._exit(_status(program, folder, out.fileno(), err.fileno()))
        _, status = os.waitpid(child, 0)
        texts = [file.seek(0) or file.read() for file in (out, err)]
    return subprocess.CompletedProcess((), os.waitstatus_to_exitcode(status), *texts)


def _status(program: Callable[[], object], folder: Path, out: int, err: int) -> int:
    """The exit status of a program, run in this process with its output to these files."""
    os.chdir(folder)
    sys.stdout, sys.stderr = (open(os.dup2(file, place), "w") for place, file in ((1, out), (2, err)))  # noqa: SIM115
    status = 0
    try:
        program()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def hooked(step: int, act: Callable[[TrainingModule], None], words: list[str]) -> None:
    """A training that does something before a step; for a process of its own."""
    learn = TrainingModule._learn

    def _learn(module: TrainingModule, *given: object) -> None:
        if module.global_step == step:
            act(module)
        learn(module, *given)

    TrainingModule._learn = _learn
    main(words)


def sweep(library: Path, folder: Path, *overrides: str) -> list[str]:
    """The words after `train.py` of a sweep; model.width=0 fails."""
    return ["-m", *words_of(library, f"hydra.sweep.dir={folder}", *overrides)]


def scores(folder: Path) -> dict[str, float]:
    """The validation ESR of each finished run."""
    return {p.parent.name: json.loads(p.read_text())["val_esr"] for p in folder.glob("*/metrics.json")}


def options(library: Path) -> list[str]:
    """Options of a training with `HALF` as its effect, which logs each song in `begun`, beside the library."""
    place = library.parent
    (place / "half.py").write_text(HALF)
    words = f"[{sys.executable},{place / 'half.py'},'{{dry}}','{{wet}}']"
    sizes = ["data.sample_rate=8000", "data.segment=256", "trainer.accelerator=cpu", f"data.cache={place / 'cache'}"]
    return ["effect=command", f"effect.command={words}", f"data.library={library}", *sizes]


def begun(library: Path) -> int:
    return len((library.parent / "begun").read_text().splitlines())


def prepare(library: Path, *more: str, **arguments) -> subprocess.Popen:
    given = [sys.executable, "-m", "fxemu", "prepare", *more]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(given, cwd=ROOT, **pipes, **arguments)
