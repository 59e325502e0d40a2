"""A run folder of an earlier version, before files moved to their rooms: it resumes, and its model plays."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from helpers.commands import forked

import fxemu
from fxemu.audio.tensors import decode, write_wav
from fxemu.cli import render, train
from fxemu.training.run_folder import saved_config

# Killed at step 10 of 20 at commit c907a2d, of effect=tanh loss=esr debug=fast threads=1 model.context_window=16
# model.width=4 model.feedback_window=8; model.json and model.safetensors are those of the same run, finished.
# LIBRARY in its config.yaml, and the checkpoints' folder /earlier, stand in for paths on the machine that made it.
EARLIER = Path(__file__).parent / "earlier_run"


@pytest.fixture
def run(library: Path, tmp_path: Path) -> Path:
    """A copy whose songs are those of the `library` fixture."""
    folder = tmp_path / "run"
    shutil.copytree(EARLIER, folder)
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("LIBRARY", str(library)))
    return folder


def test_it_resumes_to_a_finished_report(run):
    done = forked(lambda: train.main([f"resume={run}"]), run.parent)
    assert done.returncode == 0, done.stderr
    assert "resuming in" in done.stdout and "step      10" not in done.stdout and "step      20" in done.stdout
    scores = json.loads((run / "metrics.json").read_text())
    assert (scores["effect"], scores["repr"], scores["model"]) == ("tanh", "raw", "mlp")
    # That of the validation before it was killed, which the checkpoint keeps, or a better one.
    assert scores["val_esr"] <= 2.8662


def test_its_config_is_one_of_this_version(run):
    config = saved_config(run)
    assert config.training._target_ == "fxemu.training.Schedule" and set(config.repr) == {"input", "output"}


def test_its_model_plays(run):
    dry = 0.5 * torch.sin(0.05 * torch.arange(2000))
    write_wav(run.parent / "dry.wav", dry, 44_100)
    done = forked(lambda: render.main([str(run), "dry.wav", "wet.wav"]), run.parent)
    assert done.returncode == 0, done.stderr
    wet, rate = decode(run.parent / "wet.wav")
    assert rate == 44_100 and torch.allclose(wet, fxemu.load(run)(dry, 44_100), atol=1e-6)
    # As the version that made it rendered it.
    assert wet[[500, 1000, 1999]].tolist() == pytest.approx([-0.44903, -0.40885, -0.32156], abs=1e-4)


def test_its_model_plays_silence_at_first_as_ten_seconds_later():
    wet = fxemu.load(EARLIER)(torch.zeros(441_000), 44_100)
    assert (wet[:2205] - wet[-1]).abs().max() < 1e-5
