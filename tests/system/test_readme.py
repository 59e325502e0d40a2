"""The README's commands are the ones that CI runs, and its snippets work."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_it_opens_with_a_picture_and_exactly_two_commands():
    commands = [block.strip() for block in blocks("sh")]
    assert commands == [
        "pip install -e . -c requirements.lock && python train.py effect=distortion repr=mulaw",
        'pip install -e ".[test]" -c requirements.lock && python -m pytest',
    ]
    assert README.index("![") < README.index("```sh")


def test_its_pictures_and_pages_exist():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for path in re.findall(r"\[[^\]]*\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / path).is_file(), path


def test_its_python_runs():
    (snippet,) = blocks("python")
    check = "assert features.shape == (10_000, 127) and targets.shape == (10_000, 1)"
    done = subprocess.run([sys.executable, "-c", f"{snippet}\n{check}"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def commands() -> list[str]:
    """Every line of a `bash` block, in the README and in docs/."""
    texts = [README, *(path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))]
    return [line for text in texts for block in blocks("bash", text) for line in block.splitlines() if line]


def test_its_overrides_compose():
    from hydra import compose, initialize_config_dir

    from fxemu.training.overrides import arguments
    from fxemu.training.run_folder import CONF

    checked = 0
    for line in commands():
        words = shlex.split(line.split(" #")[0])
        if words[:2] not in (["python", "train.py"], ["fxemu", "train"]):
            continue
        words = [word for word in words[2:] if word not in ("-m", "--help") and "resume" not in word]
        given = arguments(words)
        # Of a sweep over several options, the first.
        given = [re.sub(r"^(\w+=\w+),[\w,]+$", r"\1", word) for word in given if not word.startswith("hydra")]
        with initialize_config_dir(str(CONF), version_base="1.3"):
            compose("train", given)
        checked += 1
    assert checked > 10


def test_its_other_commands_exist():
    from fxemu.cli import COMMANDS

    used = {line.split()[1] for line in commands() if line.startswith("fxemu ")}
    assert used and used <= set(COMMANDS)
