"""Shards: disjoint, complete, and of streams no stretch is decoded twice."""

import pytest
import torch

from fxemu.data.segments import RandomSegments
from fxemu.data.shard import Shard
from fxemu.library.pair import Pair


def shards(count: int) -> list[Shard]:
    return [Shard(rank, count) for rank in range(count)]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_rows_of_all_are_the_batch(count):
    rows = [row for shard in shards(count) for row in range(24)[shard.rows(24)]]
    assert rows == list(range(24))


@pytest.mark.parametrize("together", [1, 8])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_items_of_all_are_all_items_and_runs_stay_together(count, together):
    numbers = [[shard.number(own, together) for own in range(48)] for shard in shards(count)]
    assert sorted(n for one in numbers for n in one) == list(range(48 * count))
    assert all(
        len({n // together for n in one[i : i + together]}) == 1 for one in numbers for i in range(0, 48, together)
    )


def test_a_batch_that_cannot_be_divided_is_refused():
    with pytest.raises(ValueError, match=r"data\.batch_size: got 64 segments for 3 processes; must be a multiple"):
        Shard(0, 3).rows(64)
    with pytest.raises(ValueError, match="got rank 2 of 2"):
        Shard(2, 2)


@pytest.mark.parametrize("count", [2, 4])
def test_shards_of_random_segments_are_the_batch_that_one_process_has(count):
    songs = [Pair("a", torch.rand(500), torch.rand(500)), Pair("b", torch.rand(300), torch.rand(300))]
    whole = RandomSegments(songs, 20, 16, 4, seed=0)
    parts = [RandomSegments(songs, 20, 16, 4, seed=0, shard=shard) for shard in shards(count)]
    for side in (0, 1):
        assert torch.equal(torch.cat([part[3][side] for part in parts]), whole[3][side])
