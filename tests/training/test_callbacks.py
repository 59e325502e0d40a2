"""What is shown of a training, and what a run that goes on knows of what was."""

import io
import sys
import time
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.demos.boring_classes import BoringModel

from fxemu.training.callbacks import KeepCurve, WholeCheckpoints
from fxemu.training.monitoring.progress import LiveProgress, Progress, sparkline
from fxemu.training.schedule import Schedule


@pytest.mark.parametrize(("inverted", "warned"), [(0.1, True), (3.0, False)])
def test_an_inverted_output_is_pointed_out(inverted, warned, capsys):
    scores = {"train/loss": 0.5, "val/esr": 1.2, "val/nmae": 1.0, "val/inverted_esr": inverted}
    trainer = SimpleNamespace(callback_metrics=scores, sanity_checking=False, global_step=7, is_global_zero=True)
    Progress().on_validation_epoch_end(trainer, SimpleNamespace(progress=lambda: 0.5))
    assert ("POLARITY" in capsys.readouterr().out) == warned


def test_a_run_that_was_moved_knows_its_best_checkpoint(tmp_path):
    state = {
        "dirpath": "/old/checkpoints",
        "best_model_score": torch.tensor(0.1),
        "best_model_path": "/old/checkpoints/best.ckpt",
        "kth_best_model_path": "/old/checkpoints/best.ckpt",
        "last_model_path": "",
        "best_k_models": {"/old/checkpoints/best.ckpt": torch.tensor(0.1)},
    }
    checkpoint = {key: {} for key in ("state_dict", "loops", "optimizer_states", "global_step")}
    checkpoint["callbacks"] = {"best": state, "curve": {"validations": []}}
    WholeCheckpoints().save_checkpoint(checkpoint, tmp_path / "x.ckpt")
    found = WholeCheckpoints().load_checkpoint(tmp_path / "x.ckpt", weights_only=True)["callbacks"]["best"]
    best = ModelCheckpoint(tmp_path, "best", monitor="val/esr")
    best.load_state_dict(found)
    assert best.best_model_score == 0.1 and best.best_model_path == str(tmp_path / "best.ckpt")
    assert best.best_k_models == {str(tmp_path / "best.ckpt"): 0.1} and best.last_model_path == ""


def test_the_time_before_an_interruption_counts():
    earlier, later = KeepCurve(), KeepCurve()
    earlier.before = 240.0
    later.load_state_dict(earlier.state_dict())
    assert 240 < later.seconds() < 250


def test_a_fit_in_closed_form_counts_as_training():
    class Fitted(BoringModel):
        def setup(self, stage):
            time.sleep(0.2)

    curve = KeepCurve()
    pl.Trainer(
        accelerator="cpu", max_steps=0, logger=False, callbacks=[curve], enable_checkpointing=False,
        num_sanity_val_steps=0,
    ).fit(Fitted())  # fmt: skip
    assert curve.seconds() >= 0.2


class Terminal(io.StringIO):
    """A terminal that may be lost."""

    lost = False

    def isatty(self):
        return True

    def write(self, text):
        if self.lost:
            raise OSError(5, "Input/output error")
        return super().write(text)


def test_one_line_lives_in_a_terminal_and_outlasts_it(monkeypatch):
    """Stage, speed, time, error and curve are in one line; training goes on where the terminal is gone."""
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    curve = KeepCurve()
    curve.validations = [(1, 0.1, 0.1), (2, 0.01, 0.1), (3, 0.001, 0.1)]
    stages = [{"share": 0.5, "length": 32, "free": False}, {"share": 0.5, "length": 64, "free": True}]
    module = SimpleNamespace(progress=lambda: 0.75, schedule=Schedule(stages))
    scores = {"train/loss": 0.5, "val/esr": 1.2, "val/nmae": 1.0, "val/inverted_esr": 3.0}
    trainer = SimpleNamespace(callback_metrics=scores, global_step=7, is_global_zero=True)
    live = LiveProgress(curve)
    live.on_train_start(trainer, module)
    live.on_train_batch_end(trainer, module)
    live.on_validation_epoch_end(trainer, module)
    shown = terminal.getvalue()
    assert "\n" not in shown
    for words in (" 75%", "stage 2/2: rollouts of 64", "0.0 steps/s", "left", "best 1.0e-03 █▅▁"):
        assert words in shown.rpartition("\r")[2], words
    terminal.lost = True
    live.shown = 0.0
    live.on_train_batch_end(trainer, module)
    live.on_train_end(trainer, module)


def test_a_curve_is_as_long_as_fits_and_leaves_out_what_is_not_finite():
    assert sparkline([1.0]) == sparkline([]) == ""
    assert sparkline([float("inf"), 1.0, 0.1, 1.0]) == "█▁█"
    assert len(sparkline([2.0**-i for i in range(100)])) == 12
