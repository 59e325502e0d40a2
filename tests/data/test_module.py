"""The data module: segments lie within songs, batches repeat by seed, parts share no song."""

from types import SimpleNamespace

import pytest
import torch
from helpers.media import encode, tune

from fxemu.audio.tensors import write_wav
from fxemu.data import SongData
from fxemu.data.levels import level_line
from fxemu.data.segments import RandomSegments
from fxemu.effects import Effect, EffectError, Hysteresis, Recorded, Tanh, Tremolo
from fxemu.library.pair import Pair
from fxemu.library.songs import LibraryError


class Broken(Effect):
    """Returns NaN."""

    def process(self, dry, sample_rate, start):
        return dry * float("nan")


class Mute(Effect):
    """Returns silence."""

    def process(self, dry, sample_rate, start):
        return 0 * dry


class Picky(Effect):
    """Returns silence for songs of some lengths."""

    def __init__(self, *lengths: int) -> None:
        self.lengths = lengths

    def process(self, dry, sample_rate, start):
        return 0 * dry if dry.numel() in self.lengths else dry


def test_songs_that_the_effect_silences_are_not_scored_on(library):
    whole = SongData(Picky(), 16, str(library), 8000, segment=16, val_share=0.4, test_share=0.2)
    whole.setup()
    lengths = [pair.dry.numel() for pair in whole.parts["val"]]
    assert len(lengths) > 1
    data = SongData(Picky(lengths[0]), 16, str(library), 8000, segment=16, val_share=0.4, test_share=0.2)
    data.setup()
    assert [pair.dry.numel() for pair in data.parts["val"]] == lengths[1:]
    assert "left out of val: the effect makes silence of it" in str(data.skipped)
    with pytest.raises(EffectError, match="silence of every song held out for val"):
        SongData(Picky(*lengths), 16, str(library), 8000, segment=16, val_share=0.4, test_share=0.2).setup()


class Level(Effect):
    """A gain."""

    def __init__(self, gain: float) -> None:
        self.gain = gain

    def process(self, dry, sample_rate, start):
        return self.gain * dry


@pytest.mark.parametrize(
    ("gain", "said"), [(0.5, None), (1.2, None), (2.82, "wet peaks at +9.0 dBFS"), (1e-3, "wet peaks at -60.0 dBFS")]
)
def test_a_level_far_from_full_scale_is_said(library, gain, said):
    data = SongData(Level(gain), 16, str(library), 8000, segment=16)
    data.setup()
    line = level_line(data.parts["train"])
    assert line is None if said is None else line.startswith(said)


def ramps() -> list[Pair]:
    """Songs whose samples tell where they come from: song k is 1000 k, 1000 k + 1, and so on."""
    return [
        Pair(str(k), 1000.0 * k + torch.arange(n), -(1000.0 * k + torch.arange(n))) for k, n in enumerate((50, 20, 130))
    ]


def test_segments_are_consecutive_and_never_cross_songs():
    dry, wet = RandomSegments(ramps(), samples=20, batch_size=500, batches=1, seed=0)[0]
    assert dry.shape == wet.shape == (500, 1, 20)
    assert torch.equal(dry.diff(), torch.ones(500, 1, 19))
    assert torch.equal(wet, -dry)
    song, place = dry[:, 0, 0] // 1000, dry[:, 0, 0] % 1000
    assert set(song.tolist()) == {0, 1, 2}
    assert int(place[song == 2].max()) == 110 and int(place[song == 0].max()) == 30
    assert set(place[song == 1].tolist()) == {0}


@pytest.mark.parametrize("seed", [0, 1])
def test_batches_repeat_by_seed_and_differ_by_number(seed):
    first, second = (RandomSegments(ramps(), 10, 16, 4, seed) for _ in range(2))
    assert torch.equal(first[3][0], second[3][0])
    assert not torch.equal(first[3][0], first[2][0])
    assert not torch.equal(first[0][0], RandomSegments(ramps(), 10, 16, 4, seed + 1)[0][0])


def test_an_epoch_goes_on_where_the_last_one_ended():
    first, second = (RandomSegments(ramps(), 10, 16, 4, 0, epoch) for epoch in (0, 1))
    longer = RandomSegments(ramps(), 10, 16, 8, 0)
    assert torch.equal(first[1][0], longer[1][0]) and torch.equal(second[1][0], longer[5][0])


def library(folder, seconds=(1, 1, 1, 1)):
    for i, length in enumerate(seconds):
        noise = torch.randn(int(length * 8000), generator=torch.Generator().manual_seed(i)) * 0.1
        write_wav(folder / f"song{i}.wav", noise, 8000)
    return str(folder)


def test_parts_share_no_song_and_wet_is_the_effect_of_dry(tmp_path):
    data = SongData(Tanh(), 7, library(tmp_path), 8000, segment=16)
    data.setup()
    names = [pair.name for pairs in data.parts.values() for pair in pairs]
    assert sorted(names) == [f"song{i}.wav" for i in range(4)]
    pair = data.parts["train"][0]
    assert float(pair.dry.abs().max()) == 1.0
    assert torch.equal(pair.wet, torch.tanh(5 * pair.dry))


def test_training_songs_are_drawn_at_gains_and_the_others_stay_at_full_scale(tmp_path):
    data = SongData(Tanh(), 7, library(tmp_path), 8000, segment=16, batches_per_epoch=1, gain_db=(-40, -20))
    data.setup()
    (dry, wet) = next(iter(data.train_dataloader()))
    assert float(dry.abs().max()) <= 0.1 and torch.allclose(wet, torch.tanh(5 * dry))
    assert all(float(pair.dry.abs().max()) == 1 for part in ("val", "test") for pair in data.parts[part])
    assert data.wet_peak() == pytest.approx(1.0, abs=1e-3)


def test_what_the_effect_makes_of_silence_and_of_a_click(tmp_path):
    data = SongData(Hysteresis(), 7, library(tmp_path), 8000, segment=16)
    data.setup()
    rest, clicked = data.effect_outputs((torch.zeros(100), torch.eye(1, 100)[0]))
    assert rest.shape == clicked.shape == (100,)
    assert rest.abs().max() == 0
    # It keeps hold of the click.
    assert clicked[50:].min() > 0.1


def test_an_effect_that_cannot_be_asked_is_taken_to_come_to_rest(tmp_path):
    class OnlyMusic(Tanh):
        def process(self, dry, sample_rate, start):
            if dry.numel() == 100:
                raise EffectError("not music")
            return super().process(dry, sample_rate, start)

    data = SongData(OnlyMusic(), 7, library(tmp_path), 8000, segment=16)
    data.setup()
    assert all(torch.equal(wet, torch.zeros(100)) for wet in data.effect_outputs([torch.ones(100)]))


def test_a_corrupt_and_a_short_song_are_skipped_and_named(tmp_path):
    library(tmp_path, (1, 1, 1, 0.001))
    (tmp_path / "broken.mp3").write_bytes(b"not music")
    data = SongData(Tanh(), 7, str(tmp_path), 8000, segment=16)
    data.setup()
    assert "skipped 2 song(s)" in str(data.skipped)
    assert "broken.mp3: cannot be decoded" in str(data.skipped)
    assert "song3.wav: too short: 8 samples" in str(data.skipped)


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda folder: None, "no songs in it"),
        (lambda folder: library(folder, (1, 1)), r"got 2 usable song\(s\); at least 3"),
        (lambda folder: (folder / "a.mp3").write_bytes(b"x"), r"none of its 1 file\(s\) can be used"),
    ],
)
def test_unusable_libraries_are_explained(tmp_path, prepare, message):
    prepare(tmp_path)
    with pytest.raises(LibraryError, match=message):
        SongData(Tanh(), 7, str(tmp_path), 8000, segment=16).setup()


def test_an_effect_that_makes_silence_is_refused(tmp_path):
    with pytest.raises(EffectError, match="makes silence of every training song"):
        SongData(Mute(), 7, library(tmp_path), 8000, segment=16).setup()


def test_an_effect_that_returns_nan_is_named(tmp_path):
    with pytest.raises(EffectError, match=r"effect Broken returned .* NaN"):
        SongData(Broken(), 7, library(tmp_path), 8000, segment=16).setup()


@pytest.mark.parametrize(
    "bad", [{"sample_rate": 4000}, {"val_share": 0.6, "test_share": 0.5}, {"batch_size": 0}, {"file_count": 2}]
)
def test_arguments_out_of_range_are_refused(bad):
    with pytest.raises(ValueError, match="must"):
        SongData(Tanh(), 7, **bad)


def test_songs_are_selected_by_name_and_duration(tmp_path):
    options = {"sample_rate": 8000, "segment": 16, "duration_s": (0.5, 2.5), "glob": "song[0-4].wav"}
    data = SongData(Tanh(), 7, library(tmp_path, (1, 2, 3, 1, 1, 1)), **options)
    data.setup()
    names = {pair.name for pairs in data.parts.values() for pair in pairs}
    assert names == {"song0.wav", "song1.wav", "song3.wav", "song4.wav"}
    assert not data.skipped
    with pytest.raises(LibraryError, match=r"none of its 5 file\(s\) can be used and is selected"):
        SongData(Tanh(), 7, str(tmp_path), **{**options, "duration_s": (8, 9)}).setup()


def test_songs_are_selected_by_tags(tmp_path):
    for number, genre in enumerate(("Blues", "Blues", "Jazz", "Delta Blues", None)):
        encode(tmp_path / f"{number}.flac", tune(1, 8000, seed=number), 8000, tags=genre and {"genre": genre})
    data = SongData(Tanh(), 7, str(tmp_path), 8000, segment=16, tags={"genre": "*blues"})
    data.setup()
    assert {pair.name for pairs in data.parts.values() for pair in pairs} == {"0.flac", "1.flac", "3.flac"}


@pytest.mark.parametrize(("dry", "expected"), [(1.0, 0.6), (0.5, 1.2), (0.01, 6.0)])
def test_the_wet_peak_is_that_at_full_scale(library, dry: float, expected: float) -> None:
    data = SongData(Tanh(), context=30, library=str(library), sample_rate=8000, segment=16)
    data.source = SimpleNamespace(parts={"train": [Pair("a", torch.tensor([0.0, -dry]), torch.tensor([0.6, 0.0]))]})
    assert data.wet_peak() == pytest.approx(expected)


def test_an_oscillator_is_trained_and_validated_on_from_where_its_phase_is_known(library) -> None:
    common = {"context": 30, "library": str(library), "sample_rate": 8000, "segment": 16}
    whole = SongData(Tremolo(), **common)
    part = SongData(Tremolo(), **common, train_seconds=0.3, val_seconds=0.1)
    for data in (whole, part):
        data.setup()
    songs = [*whole.parts["train"], *whole.parts["val"]]
    for cut, song in zip([*part.parts["train"], *part.validation_songs()], songs, strict=True):
        assert cut.dry.numel() < song.dry.numel() and torch.equal(cut.wet, song.wet[: cut.dry.numel()])


def test_train_seconds_are_cut_from_the_middle_of_every_training_song(library) -> None:
    whole, short = (
        SongData(Tanh(), context=30, library=str(library), sample_rate=8000, segment=16, train_seconds=seconds)
        for seconds in (None, 0.3)
    )
    for data in (whole, short):
        data.setup()
    assert sum(pair.dry.numel() for pair in short.parts["train"]) == 2400
    for cut, song in zip(short.parts["train"], whole.parts["train"], strict=True):
        start = (song.dry.numel() - cut.dry.numel()) // 2
        assert torch.equal(cut.dry, song.dry[start : start + cut.dry.numel()])
        assert torch.equal(cut.wet, song.wet[start : start + cut.dry.numel()])
    assert len(short.parts["val"][0].dry) == len(whole.parts["val"][0].dry)


def test_train_seconds_are_cut_from_recordings_too_and_refused_where_songs_are_streamed(library, tmp_path) -> None:
    for name in "abc":
        for side in ("dry", "wet"):
            write_wav(tmp_path / side / f"{name}.wav", torch.from_numpy(tune(3.0, channels=1)[0]), 8000)
    common = {"context": 30, "sample_rate": 8000, "segment": 16, "train_seconds": 0.3}
    data = SongData(Recorded(tmp_path / "dry", tmp_path / "wet", force=True), **common)
    data.setup()
    assert sum(pair.dry.numel() for pair in data.parts["train"]) == pytest.approx(2400, abs=2)
    with pytest.raises(LibraryError, match=r"data\.train_seconds: a library of more than"):
        SongData(Tanh(), library=str(library), memory_hours=0, **common).setup()
