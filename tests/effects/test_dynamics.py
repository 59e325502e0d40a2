"""Dynamics: static curves, attack and release times, ceilings."""

import math

import pytest
import torch
from helpers.signals import RATE, decibels, noise, sine, square

from fxemu.effects import Compressor, Effect, Expander, Gate, Limiter


def steady_gain_db(effect: Effect, level_db: float) -> float:
    """Gain on a square wave after 4 s."""
    dry = square(level_db, 4 * RATE)
    return decibels(effect(dry, RATE)[-1] / dry[-1])


def gains_db(effect: Effect, levels_db: tuple[float, float]) -> torch.Tensor:
    """Gain (samples,) in dB over two square waves of a second each, one after the other."""
    dry = torch.cat([square(level_db) for level_db in levels_db])
    return 20 * (effect(dry, RATE) / dry).log10()


@pytest.mark.parametrize("detector", ["input", "output"])
@pytest.mark.parametrize("ratio", [1, 2, 4, 20])
@pytest.mark.parametrize("level_db", [-60, -30, -18, 0])
def test_a_compressor_has_its_threshold_and_ratio(detector: str, ratio: float, level_db: float) -> None:
    effect = Compressor(-24, ratio, knee_db=0, detector=detector)
    assert steady_gain_db(effect, level_db) == pytest.approx(-max(0, level_db + 24) * (1 - 1 / ratio), abs=0.02)


@pytest.mark.parametrize(("over_db", "reduction_db"), [(-6, 0), (-3, 0.1875), (0, 0.75), (3, 1.6875), (6, 3)])
def test_a_soft_knee_is_a_parabola(over_db: float, reduction_db: float) -> None:
    """(1 - 1 / ratio) (over + knee / 2)^2 / (2 knee), with ratio 2 and a knee of 12 dB."""
    effect = Compressor(-24, 2, knee_db=12)
    assert steady_gain_db(effect, over_db - 24) == pytest.approx(-reduction_db, abs=0.02)


def test_a_sines_gain_follows_its_peaks() -> None:
    wet = Compressor(-24, 4, knee_db=0)(sine(1000, 0.5), RATE)[RATE // 2 :]
    assert decibels(wet.abs().max()) == pytest.approx(-24 + (24 + decibels(0.5)) / 4, abs=0.2)


@pytest.mark.parametrize("detector", ["input", "output"])
@pytest.mark.parametrize("attack_ms", [1, 5, 50])
def test_attack_time(detector: str, attack_ms: float) -> None:
    gain_db = gains_db(Compressor(attack_ms=attack_ms, knee_db=0, detector=detector), (-60, 0))[RATE:]
    assert float(gain_db[-1]) == pytest.approx(-18, abs=0.02)
    assert float(gain_db[round(attack_ms * RATE / 1000) - 1]) == pytest.approx(-18 * (1 - 1 / math.e), abs=0.3)


@pytest.mark.parametrize("release_ms", [20, 80, 200])
def test_release_time(release_ms: float) -> None:
    """Two one-pole averages in series: (r exp(-t / r) - a exp(-t / a)) / (r - a) of the reduction is left."""
    gain_db = gains_db(Compressor(attack_ms=5, release_ms=release_ms, knee_db=0), (0, -60))[RATE:]
    left = (release_ms / math.e - 5 * math.exp(-release_ms / 5)) / (release_ms - 5)
    assert float(gain_db[round(release_ms * RATE / 1000) - 1]) == pytest.approx(-18 * left, abs=0.1)


def test_release_time_of_a_feedback_compressor() -> None:
    gain_db = gains_db(Compressor(release_ms=80, knee_db=0, detector="output"), (0, -60))[RATE:]
    assert float(gain_db[round(0.08 * RATE) - 1]) == pytest.approx(-18 / math.e, abs=0.1)


def test_makeup_gain() -> None:
    assert steady_gain_db(Compressor(makeup_db=9), -60) == pytest.approx(9, abs=0.01)


@pytest.mark.parametrize("ceiling_db", [-20, -3, 0])
def test_no_sample_passes_a_limiters_ceiling(ceiling_db: float) -> None:
    wet = Limiter(30, ceiling_db)(noise(RATE), RATE)
    assert decibels(wet.abs().max()) == pytest.approx(ceiling_db, abs=1e-4)


def test_a_limiter_is_its_gain_below_the_ceiling_and_comes_back_in_its_time() -> None:
    effect = Limiter(12, -3, release_ms=60)
    assert steady_gain_db(effect, -20) == pytest.approx(12, abs=0.01)
    gain_db = gains_db(effect, (0, -60))[RATE:]
    assert float(gain_db[round(0.06 * RATE) - 1]) == pytest.approx(12 - 15 / math.e, abs=0.05)


@pytest.mark.parametrize(("level_db", "reduction_db"), [(-10, 0), (-30, 0), (-40, 10), (-60, 30), (-75, 40)])
def test_an_expander_has_its_threshold_ratio_and_range(level_db: float, reduction_db: float) -> None:
    assert steady_gain_db(Expander(-30, 2, 40), level_db) == pytest.approx(-reduction_db, abs=0.02)


@pytest.mark.parametrize(("level_db", "gain_db"), [(-20, 0), (-39, 0), (-41, -60), (-80, -60)])
def test_a_gate_is_open_or_closed(level_db: float, gain_db: float) -> None:
    assert steady_gain_db(Gate(-40, 60), level_db) == pytest.approx(gain_db, abs=0.05)


def test_a_gate_opens_holds_and_closes_in_its_times() -> None:
    effect = Gate(-40, 60, attack_ms=2, hold_ms=50, release_ms=100)
    opening, closing = gains_db(effect, (-80, -10))[RATE:], gains_db(effect, (-10, -80))[RATE:]
    assert float(opening[round(0.002 * RATE) - 1]) == pytest.approx(-60 / math.e, abs=0.5)
    assert float(closing[round(0.049 * RATE)]) == pytest.approx(0, abs=0.01)
    # After the hold, the two averages of the detector: (r exp(-1) - a exp(-r / a)) / (r - a) of the change is left.
    assert float(closing[round(0.15 * RATE) - 2]) == pytest.approx(-60 * (1 - 100 / math.e / 98), abs=0.3)


def test_an_open_gate_does_not_ripple_with_the_wave() -> None:
    dry = sine(50, 0.02)
    wet = Gate(-40)(dry, RATE)
    assert torch.allclose(wet[RATE // 2 :], dry[RATE // 2 :], rtol=1e-3)
