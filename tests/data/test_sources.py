"""The contract of all sources: songs in memory, recordings, and a streamed library."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers.media import tune

from fxemu.audio.tensors import write_wav
from fxemu.data import SongData
from fxemu.data.shard import WHOLE, Shard
from fxemu.data.sources import Source
from fxemu.effects import EffectError, Recorded, Tanh
from fxemu.library.songs import PARTS

RATE, SEGMENT, CONTEXT, BATCH = 8000, 16, 30, 8


@pytest.fixture(params=["memory", "recordings", "stream"])
def kind(request) -> str:
    return request.param


@pytest.fixture
def source(kind: str, tmp_path: Path) -> Iterator[Source]:
    for number in range(4):
        dry = torch.from_numpy(tune(3.0, RATE, seed=number, channels=1)[0])
        write_wav(tmp_path / "dry" / f"{number}.wav", dry, RATE)
        write_wav(tmp_path / "wet" / f"{number}.wav", Tanh()(dry), RATE)
    effect = Recorded(tmp_path / "dry", tmp_path / "wet", force=True) if kind == "recordings" else Tanh()
    options = {"library": str(tmp_path / "dry"), "sample_rate": RATE, "index": str(tmp_path / "index.sqlite")}
    sizes = {"segment": SEGMENT, "batch_size": BATCH, "batches_per_epoch": 4, "excerpts": 2}
    data = SongData(effect, CONTEXT, **options, **sizes, memory_hours=0 if kind == "stream" else 1)
    data.setup()
    yield data.source
    data.source.close()


def test_parts_share_no_song_and_hold_pairs(source):
    names = [pair.name for part in PARTS for pair in source.parts[part]]
    assert len(set(names)) == len(names) >= len(PARTS)
    assert all(pair.dry.shape == pair.wet.shape and pair.dry.numel() > RATE for pair in source.parts["train"])


def test_batches_depend_on_the_epoch_and_are_divided_among_processes(source):
    whole = source.batches(1, WHOLE)[2]
    assert [side.shape for side in whole] == [(BATCH, 1, CONTEXT + SEGMENT)] * 2
    assert torch.equal(source.batches(1, WHOLE)[2][1], whole[1])
    assert not torch.equal(source.batches(2, WHOLE)[2][1], whole[1])
    assert source.batches(1, Shard(1, 2))[2][0].shape[0] == BATCH // 2


def test_an_effect_processes_other_audio_and_recordings_do_not(source, kind):
    probe = torch.linspace(-1, 1, 100)
    if kind == "recordings":
        with pytest.raises(EffectError, match="cannot be run on other audio"):
            source.process(probe)
    else:
        assert torch.equal(source.process(probe), Tanh()(probe))


def test_the_amount_of_training_audio_is_known_unless_it_is_streamed(source, kind):
    seconds = sum(pair.dry.numel() for pair in source.parts["train"]) / RATE
    assert source.audio_seconds == (None if kind == "stream" else seconds)
    assert ("streaming" in source.summary()) == (kind == "stream")
