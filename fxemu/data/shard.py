"""Sharding of batches and streams among the processes that train one model together (DDP)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shard:
    """One of `count` equal parts of every batch, and of the stretches that a stream decodes: part `rank`, from 0.

    The parts share nothing and make up the whole; a process that trains alone has WHOLE, part 0 of 1.
    """

    rank: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.count:
            raise ValueError(f"shard: got rank {self.rank} of {self.count}; must be from 0 to {self.count - 1}")

    def rows(self, batch_size: int) -> slice:
        """Its segments of a batch; ValueError if the batch cannot be divided equally."""
        if batch_size % self.count:
            raise ValueError(
                f"data.batch_size: got {batch_size} segments for {self.count} processes; must be a multiple of that"
            )
        share = batch_size // self.count
        return slice(self.rank * share, (self.rank + 1) * share)

    def number(self, own: int, together: int = 1) -> int:
        """The number among all items of its `own`-th one; runs of `together` items go to the same process."""
        return (own // together * self.count + self.rank) * together + own % together


WHOLE = Shard()
