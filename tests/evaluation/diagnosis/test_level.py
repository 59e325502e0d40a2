"""A gain that follows the level: where there is none."""

import torch
from torch.nn import functional as F

from fxemu.evaluation.diagnosis.level import explain_by_level


def test_an_echo_is_no_gain() -> None:
    dry = torch.randn(8000, generator=torch.Generator().manual_seed(0))
    wet = F.pad(dry, (1000, -1000))
    assert explain_by_level((dry, wet), dry, wet, skip=0, sample_rate=8000) is None
