"""Silence that the effect makes is told from an interface's dropouts."""

import pytest
import torch
from helpers.recordings import RATE, music

from fxemu.library.recordings.alignment import Alignment
from fxemu.library.recordings.checks import check_pair
from fxemu.library.recordings.gaps import cause_of, dropouts, gaps

PLACE = Alignment(0)


@pytest.fixture(scope="module")
def dry() -> torch.Tensor:
    return music(6)


def gate(dry: torch.Tensor) -> torch.Tensor:
    level = torch.nn.functional.max_pool1d(dry.abs()[None], 2001, 1, 1000)[0]
    return dry * (level > 0.3 * dry.abs().max())


def quick_gate(dry: torch.Tensor, window: int, threshold: float) -> torch.Tensor:
    """It opens and closes within a note, by the mean over so many samples."""
    level = torch.nn.functional.avg_pool1d(dry.abs()[None], window, 1, window // 2)[0]
    return torch.tanh(4 * dry) * (level > threshold * dry.abs().max())


def chopper(dry: torch.Tensor, hz: float) -> torch.Tensor:
    return dry * ((torch.arange(dry.numel()) * hz / RATE) % 1 > 0.3)


def bursts(dry: torch.Tensor) -> torch.Tensor:
    """Peaks alone: nearly all of wet is silent."""
    return dry * (dry.abs() > 0.6 * dry.abs().max())


def crossover(dry: torch.Tensor) -> torch.Tensor:
    return torch.sign(dry) * (dry.abs() - 0.1).clamp(min=0)


@pytest.mark.parametrize(
    ("effect", "cause"),
    [
        (gate, "level"),
        (crossover, "level"),
        (lambda dry: quick_gate(dry, 501, 0.1), "level"),
        (lambda dry: quick_gate(dry, 2001, 0.1), "level"),
        (lambda dry: quick_gate(dry, 2001, 0.2), "level"),
        (bursts, "level"),
        (lambda dry: chopper(dry, 4), "period"),
        (lambda dry: chopper(dry, 9.3), "period"),
    ],
    ids=["gate", "crossover", "quick gate", "slower gate", "mostly shut", "bursts", "tremolo", "faster tremolo"],
)
def test_gaps_of_an_effect_are_kept(dry, effect, cause):
    wet = effect(dry)
    found = gaps(dry, wet, PLACE, RATE)
    assert len(found) > 3 and cause_of(found, dry) == cause and dropouts(dry, wet, PLACE, RATE) == []
    report = check_pair(dry, wet, RATE)
    lines = [
        finding for finding in report.findings if "silent" in finding.text and "part of the effect" in finding.text
    ]
    assert len(lines) == 1 and lines[0].kind == "note" and not report.refused


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_gaps_of_an_interface_are_dropouts_in_one_line(dry, count):
    wet = torch.tanh(3 * dry)
    places = torch.randint(RATE, 5 * RATE, (count,), generator=torch.Generator().manual_seed(3)).sort()[0]
    for place in places.tolist():
        wet[place : place + 300] = 0
    assert len(dropouts(dry, wet, PLACE, RATE)) >= 0.7 * count
    (line,) = [finding for finding in check_pair(dry, wet, RATE).findings if "drops out" in finding.text]
    assert line.kind == "warning" and "raise the interface's buffer" in line.text


def test_silence_after_the_end_of_dry_is_no_dropout(dry):
    # A second take, after some silence, in the same file.
    again = torch.cat((dry, torch.zeros(RATE // 10), dry))
    assert gaps(dry, again, PLACE, RATE) == []
