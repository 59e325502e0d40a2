"""Effects that no model can learn are told: other wet each time, wet that knows what comes, wet that hears nothing."""

import pytest
import torch

from fxemu.data.learnability import unlearnable_line
from fxemu.effects import Compressor, Delay, Distortion, PlateReverb, Recorded, Tanh
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
    line = unlearnable_line(Noisy(share), Pair("song", DRY, DRY), 44_100)
    assert float(line.rpartition(" ")[2]) == pytest.approx(share, rel=0.1)


class Function(Effect):
    """Any function of dry."""

    def __init__(self, function) -> None:
        self.function = function

    def process(self, dry, sample_rate, start):
        return self.function(dry)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: torch.cat((x[200:], x[:200])), "looks ahead"),
        (lambda x: x.flip(0), "looks ahead"),
        (lambda x: x / x.square().mean(), "looks ahead"),
        (lambda x: torch.cos(torch.arange(len(x)) / 9), "does not depend on dry"),
        (lambda x: torch.cat((0 * x[:300], x[:-300])), None),
        (lambda x: torch.cumsum(x, 0) / 99, None),
        (lambda x: 0 * x, None),
    ],
)
def test_what_knows_what_comes_or_hears_nothing_is_told(function, words):
    line = unlearnable_line(Function(function), Pair("song", DRY, DRY), 44_100)
    assert line is None if words is None else words in line


@pytest.mark.parametrize("effect", [Distortion(), Compressor(), Delay(), PlateReverb()])
def test_ours_are_not(effect):
    assert unlearnable_line(effect, Pair("song", DRY, DRY), 44_100) is None


def test_what_repeats_itself_is_not_told(tmp_path):
    pair = Pair("song", DRY, DRY)
    assert unlearnable_line(Tanh(), pair, 44_100) is None
    assert unlearnable_line(Recorded(str(tmp_path), str(tmp_path)), pair, 44_100) is None
    assert unlearnable_line(Tanh(), Pair("silence", 0 * DRY, DRY), 44_100) is None
