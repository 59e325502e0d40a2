"""docs/extending.md, carried out in a copy of the repository: its files written, its lines added, its tests run."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
# The format that the page adds refuses what the test of all formats exports.
REFUSING = 'REFUSING += ["taps"]'
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def named_file(text: str) -> str:
    """The last file, with its folder, that the text names."""
    return re.findall(r"`([\w/]+/[\w/]+\.\w+)`", text)[-1]


def apply(folder: Path, page: str) -> list[str]:
    """Do what the page says; returns the commands."""
    commands = []
    for block in BLOCK.finditer(page):
        kind, text = block.groups()
        if kind == "bash":
            commands += text.splitlines()
            continue
        file = folder / named_file(page[: block.start()])
        if kind != "diff":
            assert not file.exists(), file
            file.write_text(text)
            continue
        lines = text.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] == " ")
        content = file.read_text()
        assert content.count(before) == 1, (file, before)
        file.write_text(content.replace(before, "".join(line[1:] for line in lines)))
    return commands


def test_what_the_page_adds_passes_the_tests_that_it_names(tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("fxemu", "conf", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    for name in ("pyproject.toml", "train.py"):
        shutil.copy(ROOT / name, tmp_path)
    commands = apply(tmp_path, (ROOT / "docs" / "extending.md").read_text())
    tests = [word for command in commands for word in command.split() if word.startswith("tests/")]
    chosen = [command.split(" -k ")[1] for command in commands if " -k " in command]
    assert len(commands) == 4 and len(chosen) == 3
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    arguments = "-p", "no:cacheprovider", *tests, "-k", " or ".join([*chosen, "taps"])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n0", *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert REFUSING not in (ROOT / "tests/cli/test_export.py").read_text()
    assert REFUSING in (tmp_path / "tests/cli/test_export.py").read_text()
    passed = int(re.search(r"(\d+) passed", done.stdout)[1])
    # Kinds by readers, and the contracts of models and of effects.
    assert passed > 25
