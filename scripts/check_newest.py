"""Does fxemu still work with the newest packages that its bounds allow? `python scripts/check_newest.py`

Makes an environment of its own in a temporary folder (several GB, removed at the end), installs fxemu there without
the lock, runs the quick part of the suite in it, and names the tests that fail and the packages that differ from the
lock.
Exit status 1 if any does.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Some minutes: what touches torch, torchaudio, numba, llvmlite, Lightning, av, scipy, matplotlib and the configs.
QUICK = ("audio", "data", "engine", "evaluation", "representations", "training", "test_files.py", "test_losses.py",
         "test_slices.py")  # fmt: skip


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / ("Scripts" if sys.platform == "win32" else "bin") / "python")
        print("installing the newest that the bounds in pyproject.toml allow ...", flush=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-e", f"{ROOT}[test]"], check=True)
        listed = subprocess.run(
            [python, "-m", "pip", "list", "--format=json"], check=True, capture_output=True, text=True
        )
        newer = differing({item["name"]: item["version"] for item in json.loads(listed.stdout)}, locked())
        print("differs from the lock:", ", ".join(newer) or "nothing", flush=True)
        tests = [str(ROOT / "tests" / name) for name in QUICK]
        command = [python, "-W", "error::DeprecationWarning:fxemu", "-m", "pytest", "-rfE", *tests]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    broke = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    print("\n".join([*(f"broke: {name}" for name in broke), done.stdout.strip().splitlines()[-1]]))
    sys.exit(int(done.returncode != 0))


def locked() -> dict[str, str]:
    """Versions by name, as requirements.lock has them; of a package with several, by Python's, the first."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pairs = [re.match(r"([\w.-]+)==([^ ;]+)", line) for line in lines]
    return {pair[1]: pair[2] for pair in reversed(pairs) if pair}


def differing(installed: dict[str, str], lock: dict[str, str]) -> list[str]:
    """The packages of the lock that are installed in another version, with both."""
    found = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in installed.items()}
    return [
        f"{name} {found[name]} (lock: {version})"
        for name, version in lock.items()
        if found.get(name, version) != version
    ]


if __name__ == "__main__":
    main()
