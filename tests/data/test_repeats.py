"""Effects that make another wet of the same dry each time are told, with what no model can know of them."""

import pytest
import torch

from fxemu.data.repeats import repeat_line
from fxemu.effects import Recorded, Tanh
from fxemu.effects.base import Effect
from fxemu.library.pair import Pair

DRY = torch.sin(0.1 * torch.arange(40_000.0))


class Noisy(Effect):
    """Adds noise of a share of a sine's power, another one each time."""

    def __init__(self, share: float) -> None:
        self.share = share

    def process(self, dry, sample_rate, start):
        return dry + (self.share / 2) ** 0.5 * torch.randn(dry.shape)


@pytest.mark.parametrize("share", [1e-2, 1e-6])
def test_noise_of_an_effects_own_bounds_what_is_learned(share):
    torch.manual_seed(0)
    line = repeat_line(Noisy(share), Pair("song", DRY, DRY), 44_100)
    assert float(line.rpartition(" ")[2]) == pytest.approx(share, rel=0.1)


def test_what_repeats_itself_is_not_told(tmp_path):
    pair = Pair("song", DRY, DRY)
    assert repeat_line(Tanh(), pair, 44_100) is None
    assert repeat_line(Recorded(str(tmp_path), str(tmp_path)), pair, 44_100) is None
    assert repeat_line(Tanh(), Pair("silence", 0 * DRY, DRY), 44_100) is None
