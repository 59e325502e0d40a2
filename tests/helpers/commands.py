"""Whole commands as tests run them: a training, a sweep, and `fxemu prepare`."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# Without a limit of time, by which the learning rate falls too: results do not depend on how busy the machine is.
FAST = ["debug=fast", "data.sample_rate=8000", "data.segment=256", "trainer.accelerator=cpu", "threads=1"]
FAST += ["trainer.max_time=null"]
# An effect that halves a song and logs its start; it waits while there is a file `wait`. Neither file is an argument,
# since the wet cache depends on the files that are.
HALF = (
    "import pathlib, sys, time; from scipy.io import wavfile\n"
    "here = pathlib.Path(__file__); here.with_name('begun').open('a').write('begun\\n')\n"
    "while here.with_name('wait').exists(): time.sleep(0.1)\n"
    "rate, dry = wavfile.read(sys.argv[1]); wavfile.write(sys.argv[2], rate, dry / 2)"
)


def command(library: Path, *overrides: str) -> list[str]:
    flags = [word for word in overrides if word.startswith("-")]
    rest = [word for word in overrides if not word.startswith("-")]
    return [sys.executable, str(ROOT / "train.py"), *flags, f"data.library={library}", *FAST, *rest]


def train(library: Path, folder: Path, *overrides: str) -> subprocess.CompletedProcess:
    given = command(library, *overrides, f"hydra.run.dir={folder}")
    return subprocess.run(given, cwd=folder.parent, capture_output=True, text=True, timeout=300)


def sweep(library: Path, folder: Path, *overrides: str) -> list[str]:
    """The command of a sweep; model.width=0 fails."""
    given = [f"data.library={library}", f"hydra.sweep.dir={folder}", *FAST, *overrides]
    return [sys.executable, str(ROOT / "train.py"), "-m", *given]


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
