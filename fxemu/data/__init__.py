"""From songs to batches: the LightningDataModule, sources of pairs, segments, streams, gains and the wet cache."""

from fxemu.data.module import SongData

__all__ = ["SongData"]
