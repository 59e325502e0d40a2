"""What is printed after a validation."""

from types import SimpleNamespace

import pytest

from fxemu.callbacks import PrintProgress


@pytest.mark.parametrize(("inverted", "warned"), [(0.1, True), (3.0, False)])
def test_an_inverted_output_is_pointed_out(inverted, warned, capsys):
    scores = {"train/loss": 0.5, "val/esr": 1.2, "val/nmae": 1.0, "val/inverted_esr": inverted}
    trainer = SimpleNamespace(callback_metrics=scores, sanity_checking=False, global_step=7, is_global_zero=True)
    PrintProgress().on_validation_epoch_end(trainer, SimpleNamespace(progress=lambda: 0.5))
    assert ("POLARITY" in capsys.readouterr().out) == warned
