"""Sweeps: every combination is run, a run that fails takes no other with it, and the same command goes on."""

import json
import math
import os
import signal
import subprocess
import sys
from functools import partial

import pytest
from helpers.commands import ROOT, forked, hooked, scores, sweep
from omegaconf import OmegaConf

from fxemu.cli.train import main
from fxemu.errors import ConfigError
from fxemu.training.module import TrainingModule
from fxemu.training.run_folder import AnotherRunError, finished_score, locked
from fxemu.training.sweep import ReportFailures, run_in_sweep


def test_a_failing_run_scores_worst_and_leaves_its_reason(tmp_path, capsys):
    def fail(error: Exception) -> float:
        raise error

    assert run_in_sweep(partial(fail, ConfigError("width: got 0")), tmp_path) == math.inf
    assert (tmp_path / "error.txt").read_text() == "width: got 0\n"
    assert capsys.readouterr().err == f"error: {tmp_path}: width: got 0\n"
    assert run_in_sweep(partial(fail, ValueError("width: got 0")), tmp_path) == math.inf
    assert "Traceback" in (tmp_path / "error.txt").read_text()
    assert run_in_sweep(lambda: 0.5, tmp_path) == 0.5
    assert not (tmp_path / "error.txt").exists()


def test_what_another_sweep_does_in_the_folder_is_left_to_it(tmp_path, capsys):
    def start() -> float:
        with locked(tmp_path):
            return 0.5

    with locked(tmp_path):
        assert run_in_sweep(start, tmp_path) == math.inf
    assert "left out: " in capsys.readouterr().err and not (tmp_path / "error.txt").exists()
    assert run_in_sweep(start, tmp_path) == 0.5


def test_a_run_of_another_config_is_not_marked_as_failed(tmp_path, capsys):
    (folder := tmp_path / "0-tanh").mkdir()

    def refuse() -> float:
        raise AnotherRunError("holds a run with another config")

    assert run_in_sweep(refuse, folder) == math.inf
    assert not (folder / "error.txt").exists()
    with pytest.raises(SystemExit):
        ReportFailures().on_multirun_end(OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}}))
    assert "0-tanh-refused: holds a run with another config" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_ends_one_run_only(tmp_path, capsys):
    folder = tmp_path / "full"
    folder.write_text("in the way")
    assert run_in_sweep(lambda: 0.5, folder) == math.inf
    assert capsys.readouterr().err.startswith(f"error: {folder}: ")


def test_a_sweep_with_failures_ends_with_their_list(tmp_path, capsys):
    config = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}})
    ReportFailures().on_multirun_end(config)
    assert capsys.readouterr().err == ""
    (tmp_path / "3-tanh").mkdir()
    (tmp_path / "3-tanh" / "error.txt").write_text("Traceback\n  at a line\nRuntimeError: out of memory\n")
    with pytest.raises(SystemExit) as ended:
        ReportFailures().on_multirun_end(config)
    assert ended.value.code == 1
    assert f"{tmp_path / '3-tanh'}: RuntimeError: out of memory" in capsys.readouterr().err
    # Which is none of the next sweep's, that has other runs.
    later = ReportFailures()
    later.on_multirun_start(config)
    os.utime(tmp_path / "3-tanh" / "error.txt", (0, 0))
    later.on_multirun_end(config)


def test_what_is_finished_is_known_by_its_config(tmp_path):
    config = OmegaConf.create({"seed": 0, "resume": None, "knobs": None, "conditioning": "scales"})
    assert finished_score(config, tmp_path) is None
    OmegaConf.save(OmegaConf.merge(config, {"resume": "somewhere"}), tmp_path / "config.yaml")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    assert finished_score(config, tmp_path) is None
    other = OmegaConf.merge(config, {"seed": 1})
    with pytest.raises(AnotherRunError, match="holds a run with another config"):
        finished_score(other, tmp_path)
    for written, score in ((0.25, 0.25), (None, math.inf)):
        (tmp_path / "metrics.json").write_text(json.dumps({"val_esr": written}))
        assert finished_score(config, tmp_path) == score


@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 143)])
def test_a_sweep_that_was_ended_goes_on_where_it_was(library, tmp_path, number, status):
    folder, runs = tmp_path / "sweep", []
    words = sweep(library, folder, "effect=tanh,lowpass", "model.width=0,8")

    def end_the_second(module: TrainingModule) -> None:
        runs.append(module)
        if len(runs) == 2:
            os.kill(os.getpid(), number)

    ended = forked(lambda: hooked(13, end_the_second, words), tmp_path)
    assert ended.returncode == status
    told = "interrupted; to continue the sweep: python train.py -m data.library="
    assert (told in ended.stderr) == (number == signal.SIGTERM)
    before = scores(folder)
    assert set(before) == {"1-tanh-raw-mlp"}

    again = forked(lambda: main(words), tmp_path)
    assert again.returncode == 1
    assert again.stdout.count("already finished") == 1 and "step      10" not in again.stdout
    assert again.stdout.count("step      20") == 1
    after = scores(folder)
    assert set(after) == {"1-tanh-raw-mlp", "3-lowpass-raw-mlp"} and after["1-tanh-raw-mlp"] == before["1-tanh-raw-mlp"]
    assert "2 run(s) failed" in again.stderr and "Traceback" not in again.stderr
    for name in ("0-tanh-raw-mlp", "2-lowpass-raw-mlp"):
        assert f"{folder / name}: width: got 0" in again.stderr


@pytest.mark.parametrize(
    ("launcher", "plugin"),
    [
        (("joblib", "hydra.launcher.n_jobs=2"), "joblib_launcher"),
        (("submitit_local",), "submitit_launcher"),
        (("ray",), "ray_launcher"),
    ],
)
def test_a_failing_run_takes_no_other_with_it(library, tmp_path, launcher, plugin):
    pytest.importorskip(f"hydra_plugins.hydra_{plugin}")
    words = sweep(library, tmp_path / "sweep", "model.width=0,8", "training.steps=10", f"hydra/launcher={launcher[0]}")
    given = [sys.executable, str(ROOT / "train.py"), *words, *launcher[1:]]
    done = subprocess.run(given, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "1 run(s) failed" in done.stderr and "width: got 0" in done.stderr
    assert set(scores(tmp_path / "sweep")) == {"1-distortion-raw-mlp"}


def test_a_search_goes_by_the_validation_songs_and_survives_failures(library, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    space = ("study=search", "hydra.sweeper.n_trials=4", "model.width=choice(0,8)", "model.feedback_window=8,16")
    words = sweep(library, tmp_path / "search", *space, "training.steps=10")
    done = forked(lambda: main(words), tmp_path)
    assert done.returncode == 1 and "width: got 0" in done.stderr
    found = OmegaConf.load(tmp_path / "search" / "optimization_results.yaml")
    finished = scores(tmp_path / "search")
    assert found.best_value == min(finished.values())
    assert len(finished) + len(list((tmp_path / "search").glob("*/error.txt"))) == 4
