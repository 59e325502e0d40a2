"""Recordings are split in time or by file, without overlap; silence is never validated or tested on."""

from dataclasses import replace

import pytest
import torch

from fxemu.library.pair import Pair
from fxemu.library.recordings.split import split_recordings
from fxemu.library.songs import PARTS, LibraryError


def ramp(name: str, *lengths: int) -> dict[str, list[Pair]]:
    """A recording in stretches, whose samples count on from 1."""
    stretches = (torch.arange(1, sum(lengths) + 1) / 1e5).split(lengths or 1)
    return {name: [Pair(name, stretch, stretch) for stretch in stretches]}


def edges(pairs: list[Pair]) -> list[tuple[int, int]]:
    return [(round(float(pair.dry[0]) * 1e5) - 1, round(float(pair.dry[-1]) * 1e5)) for pair in pairs]


def test_pieces_in_time_leave_a_gap():
    parts = split_recordings(ramp("a.wav", 1000), 50, 0.15, 0.2, seed=0)
    assert [edges(parts[part]) for part in PARTS] == [[(0, 585)], [(635, 770)], [(820, 1000)]]
    with pytest.raises(LibraryError, match=r"a.wav: 300 usable samples are too few"):
        split_recordings(ramp("a.wav", 300), 50, 0.15, 0.2, seed=0)


def test_all_stretches_are_split_and_too_short_ones_left_out():
    parts = split_recordings(ramp("a.wav", 300, 20, 680), 50, 0.15, 0.2, seed=0)
    assert edges(parts["train"]) == [(0, 300), (320, 572 + 20)]
    assert [pair.name for pair in parts["train"]] == ["a-train", "a-train-2"]
    assert sum(pair.dry.numel() for part in PARTS for pair in parts[part]) == 980 - 2 * 50


def test_up_to_three_recordings_are_each_split_in_time_and_those_too_short_trained_on():
    recordings = ramp("a", 1000) | ramp("b", 2000) | ramp("short", 200)
    parts = split_recordings(recordings, 50, 0.15, 0.2, seed=0)
    assert [pair.name for pair in parts["val"]] == ["a-val", "b-val"]
    assert [pair.name for pair in parts["train"]] == ["a-train", "b-train", "short"]


def test_of_four_or_five_a_whole_one_is_validated_on_and_the_ends_of_the_others_tested():
    recordings = ramp("a", 1000) | ramp("b", 2000) | ramp("c", 3000) | ramp("short", 200)
    seen = set()
    for seed in range(20):
        parts = split_recordings(recordings, 50, 0.15, 0.2, seed)
        (whole,) = parts["val"]
        seen.add(whole.name)
        assert whole.dry.numel() == recordings[whole.name][0].dry.numel()
        others = sorted({"a", "b", "c"} - {whole.name})
        assert [pair.name for pair in parts["train"]] == [*(f"{name}-train" for name in others), "short"]
        assert [pair.name for pair in parts["test"]] == [f"{name}-test" for name in others]
    assert seen == {"a", "b", "c"}
    turned = {name: [replace(pair, knobs=torch.zeros(1)) for pair in pairs] for name, pairs in recordings.items()}
    assert len(split_recordings(turned, 50, 0.15, 0.2, seed=0)["val"]) == 3


def test_six_recordings_are_split_by_file():
    parts = split_recordings({k: v for name in "abcdef" for k, v in ramp(name, 1000).items()}, 50, 0.15, 0.2, seed=0)
    assert sorted(pair.name for part in PARTS for pair in parts[part]) == list("abcdef")
    assert all(pair.dry.numel() == 1000 for part in PARTS for pair in parts[part])


@pytest.mark.parametrize(("first", "end"), [(0, 36_000), (30_000, 66_000), (64_000, 100_000)])
def test_shares_are_of_what_sounds(first, end):
    dry = torch.rand(100_000, generator=torch.Generator().manual_seed(0))
    dry[first:end] = 0
    parts = split_recordings({"a.wav": [Pair("a.wav", dry, 0.01 * dry)]}, 500, 0.15, 0.2, seed=0)
    for part, share in (("val", 0.15), ("test", 0.2)):
        sounds = sum(int((pair.wet != 0).sum()) for pair in parts[part])
        assert sounds == pytest.approx(share * 64_000, rel=0.1)


def test_silent_files_are_not_held_out():
    recordings = {name: pairs for number in range(8) for name, pairs in ramp(str(number), 1000).items()}
    recordings |= {f"s{n}": [Pair(f"s{n}", torch.zeros(1000), torch.zeros(1000))] for n in range(8)}
    parts = split_recordings(recordings, 50, 0.3, 0.3, seed=0)
    assert not any(pair.name.startswith("s") for part in ("val", "test") for pair in parts[part])


def test_recordings_that_are_too_short_are_left_out_and_named(capsys):
    parts = split_recordings(ramp("stub", 40) | ramp("a", 1000), 50, 0.15, 0.2, seed=0)
    assert {pair.name for part in PARTS for pair in parts[part]} == {"a-train", "a-val", "a-test"}
    assert capsys.readouterr().err == "left out: stub: 40 usable samples, of 50 that are needed\n"
    with pytest.raises(LibraryError, match="stub: 40 usable samples, of 50 that are needed; record for longer"):
        split_recordings(ramp("stub", 40), 50, 0.15, 0.2, seed=0)


@pytest.mark.parametrize(("knobs", "held_out"), [(None, 2), (torch.zeros(1), 1)], ids=["without", "with"])
def test_of_settings_of_knobs_as_few_as_can_be_are_held_out(knobs, held_out):
    recordings = {str(i): [replace(pair, knobs=knobs) for pair in ramp(str(i), 200)[str(i)]] for i in range(9)}
    parts = split_recordings(recordings, 50, 1e-9, 1e-9, seed=0)
    assert [len(parts[part]) for part in PARTS] == [9 - 2 * held_out, held_out, held_out]
