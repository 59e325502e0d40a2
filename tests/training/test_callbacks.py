"""What is printed after a validation, and what a run that goes on knows of what was."""

import time
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.demos.boring_classes import BoringModel

from fxemu.training.callbacks import KeepCurve, PrintProgress, WholeCheckpoints


@pytest.mark.parametrize(("inverted", "warned"), [(0.1, True), (3.0, False)])
def test_an_inverted_output_is_pointed_out(inverted, warned, capsys):
    scores = {"train/loss": 0.5, "val/esr": 1.2, "val/nmae": 1.0, "val/inverted_esr": inverted}
    trainer = SimpleNamespace(callback_metrics=scores, sanity_checking=False, global_step=7, is_global_zero=True)
    PrintProgress().on_validation_epoch_end(trainer, SimpleNamespace(progress=lambda: 0.5))
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
    WholeCheckpoints().save_checkpoint(
        {"callbacks": {"best": state, "curve": {"validations": []}}}, tmp_path / "x.ckpt"
    )
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
