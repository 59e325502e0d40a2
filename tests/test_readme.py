"""The README's commands are the ones that CI runs, and its snippets work."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_it_opens_with_a_picture_and_exactly_two_commands():
    commands = [block.strip() for block in blocks("sh")]
    assert commands == [
        "pip install -e . && python train.py effect=distortion repr=mulaw",
        'pip install -e ".[test]" && python -m pytest',
    ]
    assert README.index("![") < README.index("```sh")


def test_its_pictures_exist():
    for path in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (ROOT / path).is_file(), path


def test_its_python_runs():
    (snippet,) = blocks("python")
    check = "assert features.shape == (10_000, 127) and targets.shape == (10_000, 1)"
    done = subprocess.run([sys.executable, "-c", f"{snippet}\n{check}"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_its_overrides_compose():
    from hydra import compose, initialize_config_dir

    from fxemu.train import CONF, arguments

    (commands,) = blocks("bash")
    for line in commands.splitlines():
        words = line.split("#")[0].split()[2:]
        given = [word for word in arguments(words) if word not in ("-m", "--help") and "resume" not in word]
        given = [word.split(",")[0] for word in given if not word.startswith("hydra.")]
        with initialize_config_dir(str(CONF), version_base="1.3"):
            compose("train", given)


def test_every_module_it_lists_exists():
    for name in re.findall(r"`(\w+\.py)`", README.split("## How it is built")[1].split("A file imports")[0]):
        assert (ROOT / "fxemu" / name).is_file() or name == "base.py", name
