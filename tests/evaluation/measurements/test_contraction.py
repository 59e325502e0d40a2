"""Contraction of loops whose behaviour is known in closed form."""

import math
from itertools import pairwise

import pytest
import torch
from helpers.models import MODELS, one_pole
from torch import Tensor

from fxemu.effects import Effect, Passthrough, Tremolo
from fxemu.evaluation.measurements.contraction import contraction, contraction_lines
from fxemu.evaluation.validation import PIECE, SETTLING, scores, wrong_history_pieces
from fxemu.library.pair import Pair
from fxemu.models import Linear
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import Raw

RATE = 8000


class OnePole(Effect):
    """y[t] = 0.1 x[t] + pole y[t-1]."""

    def __init__(self, pole: float) -> None:
        self.pole = pole

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        wet, last = [], 0.0
        for sample in dry.tolist():
            wet.append(last := 0.1 * sample + self.pole * last)
        return torch.tensor(wet)


def songs(effect: Effect, samples: int = 8000, level: float = 0.3) -> list[Pair]:
    noise = (level * torch.randn(2, samples, generator=torch.Generator().manual_seed(0))).clamp(-1, 1)
    return [Pair(name, dry, effect(dry, RATE)) for name, dry in zip("ab", noise, strict=True)]


@pytest.mark.parametrize("pole", [0.9, 0.99])
def test_runs_come_together_as_the_pole_says(pole: float) -> None:
    """What the limit held has left falls by the pole with each sample."""
    pairs = songs(OnePole(pole))
    found, apart = contraction(one_pole(pole), pairs, OnePole(pole), RATE)
    assert {name: power.shape[1] for name, power in apart.items()} == {"model": 5, "effect": 5}
    target = float(torch.stack([pair.wet for pair in pairs]).square().mean().sqrt())
    # The loop is held at its limit, the effect where a constant leads it.
    for name, held in (("model", 1.2), ("effect", 0.1 / (1 - pole))):
        expected = math.log(held / (1e-3 * target)) / -math.log(pole) / RATE
        assert getattr(found, name).worst_s == pytest.approx(expected, rel=0.25, abs=0.02)
    assert found.model.median_s <= found.model.worst_s
    assert found.model.worst_over_best == pytest.approx(1.0, abs=1e-2)
    assert found.warning is None


def test_a_model_that_keeps_its_past_is_warned_of() -> None:
    effect = OnePole(0.0)
    found, _ = contraction(one_pole(1.0), songs(effect), effect, RATE)
    assert found.model.worst_s is None and found.model.left_db > 0
    assert found.model.worst_over_best > 1.2
    assert found.effect.worst_s == 0.0
    assert "can sit in a wrong state" in found.warning and "longer rollouts" in found.warning
    assert contraction_lines(found)[-1].startswith("WRONG STATE")


class Holding(Effect):
    """For ever the mean of what it began with."""

    memory_s = None

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        return dry[:100].mean().expand_as(dry).clone()


def test_a_model_may_keep_what_the_effect_keeps() -> None:
    loop = one_pole(1.0)
    loop.limit.fill_(0.5)
    found, _ = contraction(loop, songs(Holding(), level=1e-3), Holding(), RATE)
    assert found.model.worst_s is None and found.effect.worst_s is None
    assert found.warning is None


DELAY = 7600


class Echo(Effect):
    """y[t] = x[t] + 0.5 x[t - 0.95 s], longer than the time to recover."""

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        return dry + 0.5 * torch.cat((torch.zeros(DELAY), dry))[: dry.numel()]


@pytest.mark.parametrize(("gain", "most"), [(0.5, 1.01), (0.49, 3.0)])
def test_a_model_of_an_echo_is_no_worse_after_another_past(gain: float, most: float) -> None:
    """A finite filter has no state to sit in: all that its past changes it changes in the effect.

    What it misses of the echo grows with the past's level, no more.
    """
    loop = ClosedLoop(Linear(1, 1, DELAY + 1, feedback=False), Raw(), Raw())
    loop.limit.fill_(10.0)
    with torch.no_grad():
        for parameter in loop.parameters():
            parameter.zero_()
        loop.predictor.dry.weight[..., -1], loop.predictor.dry.weight[..., 0] = 1.0, gain
    found, _ = contraction(loop, songs(Echo(), 4 * RATE), Echo(), RATE)
    assert found.model.worst_over_best < most < found.effect.worst_over_best


def test_an_oscillator_has_no_contraction_to_measure() -> None:
    assert contraction(one_pole(0.5), songs(Passthrough()), Tremolo(), RATE) is None
    turning = ClosedLoop(MODELS["periodic_filter"](1, 1), Raw(), Raw())
    assert contraction(turning, songs(Passthrough()), Passthrough(), RATE) is None
    assert contraction_lines(None) == []


@pytest.mark.parametrize(("pole", "least", "most"), [(0.5, 0.0, 1e-6), (1.0, 0.1, math.inf)])
def test_validation_adds_what_wrong_pasts_leave(pole: float, least: float, most: float) -> None:
    pairs = songs(OnePole(0.5), PIECE // 8, level=1e-3)
    wrong = wrong_history_pieces(pairs, 1.2, lambda dries, knobs: [OnePole(0.5)(dry, RATE) for dry in dries])
    silence = [torch.zeros(SETTLING)] * 2
    loop = one_pole(pole)
    with_wrong, without = (scores(loop, pairs, silence, given)["val/esr"] for given in (wrong, []))
    assert least <= with_wrong - without <= most


def test_validation_leaves_it_to_the_past_at_which_phase_an_oscillator_begins() -> None:
    """A filter that turns over minutes, which a wrong past has set back, is no further from wet for that."""
    torch.manual_seed(0)
    loop = ClosedLoop(MODELS["periodic_filter"](1, 1), Raw(), Raw())
    pairs = songs(Passthrough(), PIECE // 8)
    wrong = wrong_history_pieces(pairs, 1.2, None)
    silence = [torch.zeros(SETTLING)] * 2
    with_wrong, without = (scores(loop, pairs, silence, given)["val/esr"] for given in (wrong, []))
    assert with_wrong == without


def test_all_of_the_validation_songs_is_begun_wrong() -> None:
    pairs = songs(Passthrough(), 2 * PIECE + 1000)
    wrong = wrong_history_pieces(pairs, 1.2, None)
    for number, pair in enumerate(pairs):
        found = torch.cat([piece.dry for piece in wrong if piece.song == number])
        assert torch.equal(found, pair.dry)
    assert not any(torch.equal(a.past[1], b.past[1]) for a, b in pairwise(wrong))
    assert all(piece.own == 0 for piece in wrong)
