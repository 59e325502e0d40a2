"""Slices of ramps, and the two functions that a notebook calls."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fxemu.effects import EffectError, Tanh
from fxemu.library.songs import LibraryError
from fxemu.slices import gather, generate_audio_pairs, generate_slices_from_pair, segment_samples, segment_starts

Array = NDArray[np.float32]


def ramps(samples: int = 50) -> tuple[Array, Array]:
    """A pair whose values tell their own time: dry t, wet 10000 + t."""
    dry = np.arange(samples, dtype=np.float32)
    return dry, 10_000 + dry


def noise(samples: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(-1, 1, samples).astype(np.float32)


def squash(dry: Array) -> Array:
    return np.tanh(5 * dry)


def pairs_of(library: Path, **arguments: object) -> list[tuple[Array, Array]]:
    return generate_audio_pairs(squash, examples_dir=str(library), sample_rate=8000, **arguments)


def test_segment_arithmetic() -> None:
    assert segment_samples(8) == 8
    assert segment_samples(8, length=5) == 12
    assert [segment_starts(n, 8) for n in (0, 7, 8, 9)] == [0, 0, 1, 2]
    assert [segment_starts(n, 8, length=5) for n in (11, 12, 20)] == [0, 1, 9]


def test_gather() -> None:
    stretches = gather(torch.arange(10.0), torch.tensor([0, 6]), 4)
    assert stretches.tolist() == [[0, 1, 2, 3], [6, 7, 8, 9]]


@pytest.mark.parametrize("m", [1, 2, 8, 50])
def test_a_row_holds_exactly_its_samples(m: int) -> None:
    features, targets = generate_slices_from_pair([ramps()], m, 300, seed=0)
    t = features[:, m - 1 : m]
    np.testing.assert_array_equal(features[:, :m], t + np.arange(1 - m, 1))
    np.testing.assert_array_equal(features[:, m:], 10_000 + t + np.arange(1 - m, 0))
    np.testing.assert_array_equal(targets, 10_000 + t)


def test_every_position_of_a_song_is_reached() -> None:
    features, _ = generate_slices_from_pair([ramps()], 8, 2000, seed=0)
    assert set(features[:, 7]) == set(range(7, 50))


def test_a_delay_of_one_sample_can_be_learned() -> None:
    dry = noise(1000)
    wet = np.concatenate((np.zeros(1, np.float32), dry[:-1]))
    features, targets = generate_slices_from_pair([(dry, wet)], 4, 200, seed=0)
    np.testing.assert_array_equal(targets[:, 0], features[:, 2])


@pytest.mark.parametrize("m", [1, 16])
def test_shapes_and_types(m: int) -> None:
    dry = np.linspace(0, 1, 100)
    features, targets = generate_slices_from_pair([(dry, dry)] * 3, m, 20)
    assert features.shape == (60, 2 * m - 1)
    assert targets.shape == (60, 1)
    assert features.dtype == targets.dtype == np.float32


def test_slices_repeat_with_their_seed() -> None:
    def cut(seed: object) -> Array:
        return generate_slices_from_pair([ramps(1000)], 3, 20, seed=seed)[0]

    np.testing.assert_array_equal(cut(0), cut(0))
    np.testing.assert_array_equal(cut(5), cut(np.random.default_rng(5)))
    assert not np.array_equal(cut(0), cut(1))
    assert not np.array_equal(cut(None), cut(None))


def test_short_pairs_are_reported_and_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    short = (np.full(7, -1, np.float32), np.full(7, -1, np.float32))
    features, targets = generate_slices_from_pair([short, ramps(), short, ramps(), short, ramps()], 8, 25, seed=0)
    assert len(features) == len(targets) == 150
    assert features.min() >= 0
    assert "skipped 3 pair(s)" in capsys.readouterr().err


def test_no_pair_is_long_enough() -> None:
    with pytest.raises(ValueError, match="holds a slice of context window 51"):
        generate_slices_from_pair([ramps(), ramps()], 51, 10)


@pytest.mark.parametrize(("m", "count"), [(0, 10), (4, 0), (-1, 1)])
def test_counts_below_one(m: int, count: int) -> None:
    with pytest.raises(ValueError, match=f"got {m} and {count}; at least 1"):
        generate_slices_from_pair([ramps()], m, count)


def test_pairs_of_a_function(library: Path) -> None:
    pairs = pairs_of(library)
    assert [len(dry) for dry, _ in pairs] == [4000, 4400, 4800, 5200, 5600]
    for dry, wet in pairs:
        assert dry.dtype == wet.dtype == np.float32
        assert np.abs(dry).max() == 1
        np.testing.assert_allclose(wet, np.tanh(5 * dry), atol=1e-7)


def test_pairs_of_an_effect_are_those_of_its_function(library: Path) -> None:
    ours = generate_audio_pairs(Tanh(5), examples_dir=str(library), sample_rate=8000)
    for (_, wet), (_, expected) in zip(ours, pairs_of(library), strict=True):
        np.testing.assert_allclose(wet, expected, atol=1e-6)


def test_songs_are_picked_without_repetition_and_by_seed(library: Path) -> None:
    picked = [tuple(len(dry) for dry, _ in pairs_of(library, file_count=2, seed=seed)) for seed in (0, 0, 1, 2, 3)]
    assert all(len(set(lengths)) == 2 for lengths in picked)
    assert picked[0] == picked[1]
    assert len(set(picked)) > 1


def test_bad_song_is_reported_and_left_out(library: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (library / "odd.mp3").write_text("not a song")
    assert len(pairs_of(library)) == 5
    report = capsys.readouterr().err
    assert "skipped 1 song(s)" in report
    assert report.count("odd.mp3") == 1


@pytest.mark.parametrize("content", [None, "not a song"], ids=["no file", "no readable file"])
def test_no_usable_song(tmp_path: Path, content: str | None) -> None:
    if content:
        (tmp_path / "odd.mp3").write_text(content)
    with pytest.raises(LibraryError, match="no usable song among"):
        pairs_of(tmp_path)


def divide(dry: Array) -> Array:
    with np.errstate(all="ignore"):
        return dry / (dry * 0)


def shorten(dry: Array) -> Array:
    return dry[1:]


def widen(dry: Array) -> Array:
    return np.stack((dry, dry))


@pytest.mark.parametrize(
    ("function", "reason"), [(divide, "NaN or infinite"), (shorten, r"\(3999,\)"), (widen, r"\(2, 4000\)")]
)
def test_a_function_that_is_no_effect_is_named(library: Path, function: object, reason: str) -> None:
    with pytest.raises(EffectError, match=f"effect {function.__name__} returned .*{reason}"):
        generate_audio_pairs(function, examples_dir=str(library), sample_rate=8000)


def test_a_function_that_works_in_place_leaves_dry_alone(library) -> None:
    def double(x):
        x *= 2
        return x

    for dry, wet in generate_audio_pairs(double, examples_dir=str(library), sample_rate=8000):
        assert np.abs(dry).max() == 1.0
        assert np.array_equal(wet, 2 * dry)


def test_a_function_that_returns_nothing_is_named(library) -> None:
    def silent(x):
        return None

    with pytest.raises(EffectError, match="effect silent"):
        generate_audio_pairs(silent, examples_dir=str(library), sample_rate=8000)


def test_pairs_of_unlike_length_are_refused() -> None:
    with pytest.raises(ValueError, match="pair 0: dry has 5 samples and wet 4"):
        generate_slices_from_pair([(np.zeros(5, np.float32), np.zeros(4, np.float32))], 2, 1)


def test_a_delay_of_one_sample_can_be_learned_exactly() -> None:
    dry = np.random.default_rng(0).standard_normal(2000).astype(np.float32)
    wet = np.concatenate(([0], dry[:-1])).astype(np.float32)
    features, targets = generate_slices_from_pair([(dry, wet)], 4, 500, seed=0)
    weights, *_ = np.linalg.lstsq(features, targets, rcond=None)
    assert np.abs(features @ weights - targets).max() < 1e-5
    # dry[t-1] is the third of four dry samples.
    assert weights[2, 0] == pytest.approx(1, abs=1e-5)
