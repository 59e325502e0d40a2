"""Each fault of a pair of recordings is found, and a clean pair has none."""

import re

import pytest
import torch
from helpers.recordings import RATE, compressor, fuzz, interface, music

from fxemu.library.recordings.checks import check_pair, find_repeat


@pytest.fixture(scope="module")
def dry() -> torch.Tensor:
    return music(6)


@pytest.fixture(scope="module")
def wet(dry) -> torch.Tensor:
    return interface(0.5 * compressor(dry), noise_db=-70)


def hiss(rms: float, like: torch.Tensor) -> torch.Tensor:
    return rms * torch.randn(like.shape, generator=torch.Generator().manual_seed(5))


def texts(dry: torch.Tensor, wet: torch.Tensor, kind: str) -> str:
    return "\n".join(finding.text for finding in check_pair(dry, wet, RATE).findings if finding.kind == kind)


def test_a_clean_pair_has_notes_only(dry, wet):
    report = check_pair(dry, wet, RATE)
    assert not report.refused and {finding.kind for finding in report.findings} == {"note"}, str(report)
    assert re.search(r"latency 21[4-7] samples", str(report)) and "clock drift +12.0 ppm" in str(report)


@pytest.mark.parametrize(
    ("spoil", "kind", "message"),
    [
        (lambda dry, wet: (dry, wet[: dry.numel() // 2]), "refused", "dry lasts 6.0 s and wet 3.0 s"),
        (lambda dry, wet: (wet, dry), "refused", "ms before dry: they are swapped"),
        (lambda dry, wet: (dry, music(6, seed=9)), "refused", "wet does not depend on dry"),
        (lambda dry, wet: (dry, torch.zeros_like(wet)), "refused", "wet is silent"),
        (lambda dry, wet: (dry[:9000], wet[:9000]), "refused", "9000 samples are too few"),
        (lambda dry, wet: (fuzz(dry), dry), "refused", "dry looks like a distortion of wet"),
        (lambda dry, wet: (torch.tanh(4 * dry / dry.abs().max()), dry), "warning", "wet rises faster .* swapped"),
        (lambda dry, wet: (dry, 1e-4 * wet + hiss(1e-5, wet)), "warning", "noise floor -100 dBFS, .* below ESR"),
        (lambda dry, wet: (dry + 0.001, wet + hiss(1e-2, wet)), "warning", "noise floor -40 dBFS, .* below ESR"),
        (lambda dry, wet: (dry, wet[: int(dry.numel() * 441 / 480)]), "refused", "as 48000 Hz is to 44100 Hz"),
        (lambda dry, wet: (dry, -wet), "warning", "wet is upside down"),
        (lambda dry, wet: (dry, (20 * wet).clamp(-1, 1)), "warning", "wet clips in "),
        (lambda dry, wet: (dry, wet + 0.02), "warning", "wet has a DC offset of \\+0.0"),
        (lambda dry, wet: (dry, wet + 0.002 * torch.sin(torch.arange(wet.numel()) * 2 * torch.pi * 50 / RATE)),
         "warning", "most of it is 50 Hz hum"),
        (lambda dry, wet: (dry, wet.index_fill(0, torch.arange(90_000, 90_441), 0.0)),
         "warning", r"wet drops out for 10 ms at 2.04 s"),
    ],
)  # fmt: skip
def test_each_fault_is_found(dry, wet, spoil, kind, message):
    assert re.search(message, texts(*spoil(dry, wet), kind)), texts(*spoil(dry, wet), kind)


def test_a_repeated_passage_shows_what_no_model_can_learn(dry):
    song = torch.cat((dry[: 3 * RATE], dry[RATE : 3 * RATE], dry[3 * RATE :]))
    first, second, samples = find_repeat(song, RATE)
    assert torch.equal(song[first : first + samples], song[second : second + samples]) and second >= first + samples
    assert find_repeat(dry, RATE) is None
    wet = 0.5 * song + 0.01 * torch.randn(song.numel(), generator=torch.Generator().manual_seed(3)) * song.abs().sqrt()
    assert "and wet differs by" in texts(song, wet, "note") + texts(song, wet, "warning")


@pytest.mark.parametrize("effect", [fuzz, torch.square, lambda x: x**3, torch.sin, torch.abs])
def test_what_an_effect_does_to_levels_is_no_swap_and_its_sound_no_noise(dry, effect):
    report = str(check_pair(dry + 0.001, effect(dry + 0.001), RATE))
    assert "swapped" not in report and "noise floor -" not in report, report


def test_one_loud_sample_is_no_expansion(dry):
    quiet = 0.7 * dry / dry.abs().max()
    quiet[RATE] = 1.0
    assert "swapped" not in texts(quiet, torch.tanh(quiet), "warning")


@pytest.mark.parametrize("gain", [1e-25, 1e25])
def test_levels_of_any_size_are_no_bypass_and_no_offset(dry, gain):
    report = str(check_pair(dry, gain * torch.tanh(8 * dry - 8 * dry.mean()), RATE))
    assert "bypassed" not in report and "offset" not in report, report


def test_a_mean_is_no_noise_and_peaks_are_said(dry):
    wet = 4 * torch.tanh(dry) + 0.05
    report = str(check_pair(dry, wet, RATE))
    assert "wet peaks at +9" in report and re.search(r"noise floor -(1[0-9]|2)\d dBFS", report), report
    assert "wet peaks at -5" in str(check_pair(dry, 1e-3 * wet, RATE))
