"""The wheel, installed elsewhere, trains from another folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import torch

from fxemu.audio.tensors import write_wav

ROOT = Path(__file__).resolve().parent.parent.parent


def pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "-q", *arguments], check=True, capture_output=True)


def test_the_wheel_trains_from_another_folder(tmp_path):
    pip("wheel", "--no-deps", "--no-build-isolation", "-w", str(tmp_path / "dist"), str(ROOT))
    (wheel,) = (tmp_path / "dist").glob("fxemu-*.whl")
    pip("install", "--no-deps", "--target", str(tmp_path / "site"), str(wheel))
    work = tmp_path / "work"
    work.mkdir()
    for i in range(3):
        write_wav(work / "music" / f"{i}.wav", torch.randn(8000, generator=torch.Generator().manual_seed(i)), 8000)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    options = [
        "model=mlp",
        "debug=fast",
        "data.library=music",
        "data.sample_rate=8000",
        "hydra.run.dir=run",
        "effect=tanh",
    ]
    done = subprocess.run(
        [sys.executable, str(tmp_path / "site" / "bin" / "fxemu"), "train", *options],
        cwd=work, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads((work / "run" / "metrics.json").read_text())["effect"] == "tanh"
    compared = subprocess.run(
        [sys.executable, str(tmp_path / "site" / "bin" / "fxemu"), "compare", "run"],
        cwd=work, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert compared.returncode == 0, compared.stderr
    assert (work / "outputs" / "compare.html").is_file()
    probe = subprocess.run(
        [sys.executable, "-c", "import fxemu; print(fxemu.__file__)"],
        cwd=work, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert str(tmp_path / "site") in probe.stdout
