"""The training step's own arithmetic: whose history the next chunk hears."""

from collections.abc import Callable

import pytest
import torch

from fxemu.emulator import Emulator
from fxemu.losses import ESR
from fxemu.rollout import ClosedLoop
from fxemu.schedule import Schedule, Stage


@pytest.mark.parametrize("own", [0.0, 0.5, 1.0])
def test_a_share_of_the_segments_goes_on_with_its_own_history(make_loop: Callable[..., ClosedLoop], own: float) -> None:
    emulator = Emulator(make_loop(), ESR(), Schedule([{"share": 1, "length": 4, "free": True}]))
    heard, prediction = torch.zeros(1000, 1, 6), torch.full((1000, 1, 4), 2.0)
    truth = torch.ones(1000, 1, 10)
    stage = Stage(share=1, length=4, free=True, chunks=2, own=own)
    following = emulator._carried(stage, heard, prediction, truth)
    kept = (following == torch.cat((heard, prediction), dim=-1)).all(-1).flatten()
    reset = (following == truth).all(-1).flatten()
    assert (kept | reset).all()
    assert float(kept.float().mean()) == pytest.approx(own, abs=0.05)
