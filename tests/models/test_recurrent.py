"""Recurrent predictors whose cell sees dry through a filter, too."""

import pytest
import torch
from helpers.models import make
from torch.nn import functional as F

from fxemu.models import GRU
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import MuLaw, Raw


def test_the_filter_is_that_of_the_songs_and_the_output_begins_with_it() -> None:
    taps = torch.tensor([0.5, 0.0, -0.3, 0.1])
    dry = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    wet = F.conv1d(F.pad(dry, (3, 0))[None, None], taps.flip(0)[None, None])[0, 0]
    predictor = make("gru", filter_taps=4, feedback=False)
    predictor.fit([(dry, wet)])
    assert torch.allclose(predictor.filter.flatten(), taps.flip(0), atol=1e-3)
    torch.nn.init.zeros_(predictor.out.weight)
    torch.nn.init.zeros_(predictor.out.bias)
    params = predictor(dry[None, None], torch.zeros(1, 1, 4000))
    assert torch.allclose(params[0, 0], wet[predictor.receptive_field - 1 :], atol=1e-3)


def test_a_filter_looks_back_by_its_taps_and_is_not_trained() -> None:
    predictor = make("gru", filter_taps=100)
    assert predictor.receptive_field == 100 and make("gru", filter_taps=12).receptive_field == 41
    assert all(parameter is not predictor.filter for parameter in ClosedLoop(predictor, Raw(), Raw()).parameters())


def test_companded_samples_have_no_filter() -> None:
    with pytest.raises(ValueError, match="model=gru takes and makes plain samples"):
        ClosedLoop(GRU(2, 1, filter_taps=8), MuLaw(), Raw())
