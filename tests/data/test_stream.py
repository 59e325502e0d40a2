"""Streamed segments: parts of the whole songs, the same for the same seed, whatever happens to the files."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fxemu.audio.source import AudioError
from fxemu.audio.tensors import write_wav
from fxemu.audio.worker import Worker
from fxemu.data import SongData
from fxemu.data.shard import Shard
from fxemu.data.stream import AHEAD, DRAWS, POOL, SHARED, MeasuredSongs, SongStream, excerpts
from fxemu.effects import Effect, Lowpass, RingModulator, Tanh
from fxemu.library.index import Entry, Index, Selection
from fxemu.library.scan import BackgroundScan
from fxemu.library.songs import LibraryError, Skipped, list_audio_files, scan_order, song_name, split_songs

RATE, SAMPLES, BATCH = 8000, 50, 64
LENGTHS_S = (30, 12, 21, 9.5, 40)
SCALE = 2.0**-21


class Charge(Effect):
    """Hears all that was before: the sum of the song so far."""

    memory_s = None

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        return dry.double().cumsum(0)


def value(song: int, place: Tensor) -> Tensor:
    """Samples of a song that tell which it is and where they are."""
    return (400_000 * song + place + 1) * SCALE


@pytest.fixture
def songs(tmp_path: Path) -> list[str]:
    for number, seconds in enumerate(LENGTHS_S):
        write_wav(tmp_path / f"songs/{number}.wav", value(number, torch.arange(int(seconds * RATE))), RATE)
    return list_audio_files(tmp_path / "songs")


@pytest.fixture
def source(songs, tmp_path) -> MeasuredSongs:
    scan = BackgroundScan(Index(tmp_path / "index.sqlite"), songs)
    scan.wait(lambda entries: False)
    return MeasuredSongs(
        {song_name(p, tmp_path / "songs"): p for p in songs}, scan, Selection(), RATE, SAMPLES, Skipped()
    )


@pytest.fixture
def stream(source):
    opened = []

    def make(effect: Effect | None = None, seed: int = 0, batches: int = 8) -> SongStream:
        opened.append(SongStream(source, effect or Tanh(), (0, 0), SAMPLES, BATCH, batches, seed))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def peak(song: int) -> float:
    return float(value(song, torch.tensor(int(LENGTHS_S[song] * RATE) - 1)))


def located(dry: Tensor) -> list[tuple[int, int]]:
    """(song, place of the first sample) of each segment (1, samples), found by its samples."""
    found = []
    for segment in dry[:, 0]:
        # Scaled by its peak, a song can be told by the step from one sample to the next.
        song = min(range(len(LENGTHS_S)), key=lambda s: abs(float(segment.diff().mean()) * peak(s) - SCALE))
        place = round(float(segment[0]) * peak(song) / SCALE) - 400_000 * song - 1
        torch.testing.assert_close(segment * peak(song), value(song, place + torch.arange(SAMPLES)), rtol=1e-6, atol=0)
        found.append((song, place))
    return found


@pytest.mark.parametrize(
    ("effect", "tolerance"), [(Tanh(), 1e-6), (RingModulator(333), 1e-6), (Lowpass(100), 1e-4), (Charge(), 1e-4)]
)
def test_segments_are_parts_of_whole_songs_through_the_effect(stream, effect, tolerance):
    dry, wet = stream(effect)[0]
    assert dry.shape == wet.shape == (BATCH, 1, SAMPLES)
    wholes = [value(s, torch.arange(int(seconds * RATE))) / peak(s) for s, seconds in enumerate(LENGTHS_S)]
    wholes = [effect(whole, RATE) for whole in wholes]
    for (song, place), segment in zip(located(dry), wet[:, 0], strict=True):
        torch.testing.assert_close(segment, wholes[song][place : place + SAMPLES], rtol=tolerance, atol=tolerance)


def test_batches_mix_songs_in_proportion_to_their_length(stream):
    batches = stream(batches=40)
    count = [0] * len(LENGTHS_S)
    for index in range(40):
        for song, _ in located(batches[index][0]):
            count[song] += 1
    shares = [count[song] / sum(count) for song in range(len(LENGTHS_S))]
    for share, seconds in zip(shares, LENGTHS_S, strict=True):
        assert share == pytest.approx(seconds / sum(LENGTHS_S), abs=0.2)
    assert len({song for song, _ in located(batches[0][0])}) >= 3


def test_a_batch_depends_on_the_seed_and_its_number_alone(stream):
    first, other, whole = stream(seed=1, batches=4), stream(seed=2), stream(seed=1, batches=8)
    assert torch.equal(first[3][0], whole[3][0])
    assert not torch.equal(whole[0][0], other[0][0]) and not torch.equal(whole[0][0], whole[1][0])
    resumed = stream(seed=1, batches=4)
    resumed.epoch = 1
    assert torch.equal(resumed[2][1], whole[6][1])


@pytest.mark.parametrize("effect", [Tanh(), Charge()])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_shards_decode_disjoint_stretches_and_leave_none_out(stream, effect, count, monkeypatch):
    loaded: list[int] = []
    load = SongStream._load
    monkeypatch.setattr(SongStream, "_load", lambda self, number: (loaded.append(number), load(self, number))[1])
    for rank in range(count):
        part = stream(effect, batches=64)
        part.shard = Shard(rank, count)
        assert part[0][0].shape[0] == part[63][0].shape[0] == BATCH // count
        part.thread.shutdown()
    assert len(set(loaded)) == len(loaded) > count * POOL
    # Runs of stretches from one song may be cut short at the end.
    whole = len(loaded) // (SHARED * count) * SHARED * count
    assert set(range(whole)) <= set(loaded)


def test_only_a_few_stretches_are_kept_and_each_serves_many_segments(stream):
    batches = stream(batches=100)
    for index in range(0, 100, 10):
        batches[index]
        assert len(batches.stretches) <= POOL + AHEAD
    assert max(batches.stretches) == 90 * BATCH // DRAWS + POOL + AHEAD - 1


def test_a_song_that_vanishes_or_changes_is_left_out_and_named(stream, source, songs):
    Path(songs[0]).unlink()
    write_wav(Path(songs[4]), torch.rand(RATE * 20), RATE)
    batches = stream(batches=2)
    assert {song for song, _ in located(batches[0][0])} <= {1, 2, 3}
    assert "0.wav: No such file or directory" in str(source.skipped)
    assert "4.wav: has changed while it was in use" in str(source.skipped)
    assert "skipped 2" in str(source.skipped)


def test_it_ends_with_an_error_only_when_nothing_is_left(stream, songs):
    for path in songs:
        Path(path).unlink()
    with pytest.raises(LibraryError, match="no training song can be used any more"):
        stream()[0]


def test_songs_are_used_as_they_become_known(stream, source):
    entries = dict(source.scan.entries)
    source.scan.finished = False
    source.scan.entries = {path: entry for path, entry in entries.items() if path.endswith("1.wav")}
    batches = stream(batches=1000)
    assert {song for song, _ in located(batches[0][0])} == {1}
    source.scan.entries, source.scan.finished = entries, True
    assert {song for song, _ in located(batches[900][0])} > {1}


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.close()


def test_excerpts_are_the_middle_of_the_first_usable_songs(source, worker, songs):
    Path(songs[1]).write_bytes(b"")
    found = excerpts(source, worker, 9, seed=0)
    assert sorted(song.name for song in found) == ["0.wav", "2.wav", "3.wav", "4.wav"]
    (longest,) = (song.dry for song in found if song.name == "4.wav")
    assert longest.numel() == 20 * RATE
    torch.testing.assert_close(longest * peak(4), value(4, 10 * RATE + torch.arange(20 * RATE)), rtol=1e-6, atol=0)
    assert [song.name for song in excerpts(source, worker, 2, seed=0)] == [song.name for song in found[:2]]


def test_some_of_each_part_are_measured_first():
    names = [f"song {i}" for i in range(100)]
    order, parts = scan_order(names, 3, (0.15, 0.2), 0), split_songs(names, 0.15, 0.2, 0)
    assert sorted(order) == sorted(names)
    assert set(order[:3]) <= set(parts["train"])
    assert all(len(set(order[:9]) & set(part)) == 3 for part in parts.values())


def test_too_short_and_unselected_songs_are_not_in_a_source(source):
    entry = next(iter(source.scan.entries.values()))
    source.scan.entries[entry.path] = Entry(path=entry.path, duration_s=0.001, peak=1.0)
    assert len(source.usable()) == 4
    assert "too short: 0.00 s, 0.01 s are needed" in str(source.skipped)


def test_a_library_over_the_bound_is_streamed_and_its_parts_share_no_song(songs, tmp_path):
    arguments = {"library": str(tmp_path / "songs"), "sample_rate": RATE, "index": str(tmp_path / "index.sqlite")}
    data = SongData(Tanh(), 7, **arguments, segment=16, memory_hours=0.01, excerpts=2)
    data.setup()
    try:
        held_out = {pair.name for part in ("val", "test") for pair in data.parts[part]}
        trained = set(data.source.songs["train"].paths)
        assert held_out and trained and not held_out & trained
        assert {pair.name for pair in data.parts["train"]} <= trained
        batch = next(iter(data.train_dataloader()))
        assert batch[0].shape == (64, 1, 7 + 16)
        assert data.source.summary().startswith(f"streaming {len(trained)} training songs (5 of 5 measured so far)")
    finally:
        data.teardown("fit")
    inside = SongData(Tanh(), 7, **arguments, segment=16, memory_hours=1)
    inside.setup()
    assert inside.source.audio_seconds and len(inside.parts["train"]) == 3


def test_a_song_that_is_being_decoded_when_it_closes_is_not_to_blame(stream, source, monkeypatch):
    playing = stream()

    def killed(*given: object) -> None:
        playing.close()
        raise AudioError("made the decoder crash")

    monkeypatch.setattr(MeasuredSongs, "read", killed)
    with pytest.raises(AudioError):
        playing._load(0)
    assert not source.skipped
