"""Songs become batches: the LightningDataModule, segments, streams, gains and the cache of wet songs."""

from fxemu.data.module import SongData

__all__ = ["SongData"]
