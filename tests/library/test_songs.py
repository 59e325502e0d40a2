"""The song library: finding, reading and splitting songs."""

import os
import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from fxemu.audio.source import AudioError
from fxemu.audio.tensors import write_wav
from fxemu.library.index import Entry, Selection
from fxemu.library.recordings.pairs import match_files
from fxemu.library.scan import scan_library
from fxemu.library.songs import (
    LibraryError,
    Skipped,
    choose,
    file_stem,
    find_songs,
    hash_order,
    list_audio_files,
    list_songs,
    matching,
    read_audio_normalized,
    read_songs,
    song_name,
    split_songs,
)

NAMES = [f"album {i % 7}/song {i}.mp3" for i in range(300)]


def part_of(split: dict[str, list[str]]) -> dict[str, str]:
    return {name: part for part, names in split.items() for name in names}


def test_list_is_sorted_and_recursive(library: Path) -> None:
    names = [Path(path).relative_to(library).as_posix() for path in list_audio_files(str(library))]
    assert names == ["bass.wav", "drums.WAV", "lead.wav", "more/keys.wav", "more/voice.wav"]


def test_list_goes_by_suffix_in_any_case(tmp_path: Path) -> None:
    songs = ["a.AAC", "b.flac", "c.M4a", "d.mp3", "e.MP4", "f.ogg", "g.wav"]
    for name in [*songs, "cover.jpg", "notes.txt", "mp3", "h.mp3.part"]:
        (tmp_path / name).touch()
    (tmp_path / "folder.wav").mkdir()
    assert [Path(path).name for path in list_audio_files(tmp_path)] == songs


def test_songs_of_more_kinds_are_found_and_what_is_passed_over_is_counted(tmp_path: Path) -> None:
    for name in ("a.OPUS", "b.aiff", "c.wma", "d.mp3", "e.mid", "f.MID", "g.xm", "cover.jpg", "h.m3u"):
        (tmp_path / name).touch()
    assert [Path(path).name for path in list_songs(tmp_path)] == ["a.OPUS", "b.aiff", "c.wma", "d.mp3"]
    line = f"{tmp_path}: passed over 3 file(s) of kinds that are not read: 2 x .mid, 1 x .xm"
    assert find_songs(tmp_path) == (list_songs(tmp_path), line)
    assert [Path(path).name for path in list_audio_files(tmp_path)] == ["d.mp3"]
    for name in ("a.OPUS", "b.aiff", "c.wma", "d.mp3"):
        (tmp_path / name).unlink()
    with pytest.raises(LibraryError, match=re.escape(line)):
        scan_library(str(tmp_path))


def test_what_macos_writes_beside_songs_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "__MACOSX").mkdir()
    for name in ("._song.wav", "__MACOSX/._song.wav"):
        (tmp_path / name).write_bytes(bytes.fromhex("0005160700020000") + b"Mac OS X        " + bytes(4000))
    for name in ("song.wav", "._own.wav"):
        write_wav(tmp_path / name, torch.ones(100), 8000)
    assert [Path(path).name for path in list_audio_files(tmp_path)] == ["._own.wav", "song.wav"]
    (tmp_path / "folder.wav").mkdir()
    assert [pair[0].name for pair in match_files(tmp_path, tmp_path)] == ["._own.wav", "song.wav"]


def test_accents_are_equal_however_a_system_writes_them(tmp_path: Path) -> None:
    composed, apart = "Caf\u00e9 \u304c", "Cafe\u0301 \u304b\u3099"
    for name in (composed, apart):
        write_wav(tmp_path / name / f"{name}.wav", torch.ones(100), 8000)
        assert matching([f"{name}.wav"], ".", f"{composed}*") == matching([f"{name}.wav"], ".", f"{apart}*")
        assert Selection(tags={"artist": composed}).matches(Entry(path="x", tags={"artist": name}))
    (pair,) = match_files(tmp_path / composed, tmp_path / apart)
    assert [path.stem for path in pair] == [composed, apart]
    others = [f"{i}.wav" for i in range(40)]
    first, second = (part_of(split_songs([name, *others], seed=3)) for name in (composed, apart))
    assert first.pop(composed) == second.pop(apart) and first == second
    (tmp_path / apart / f"{composed}.flac").touch()
    with pytest.raises(LibraryError, match="names must differ before the suffix"):
        match_files(tmp_path / apart, tmp_path / apart)


def test_list_of_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match=r"nowhere: no such folder; give one that holds songs \(\.aac"):
        list_audio_files(tmp_path / "nowhere")


def test_list_follows_links_once_and_survives_loops(library: Path, tmp_path: Path) -> None:
    (library / "more" / "up").symlink_to(library)
    (library / "self.wav").symlink_to(library / "self.wav")
    (library / "gone.wav").symlink_to(library / "nowhere.wav")
    (tmp_path / "elsewhere").mkdir()
    write_wav(tmp_path / "elsewhere" / "x.wav", torch.ones(10), 8000)
    for name in ("a", "b"):
        (library / name).symlink_to(tmp_path / "elsewhere")
    names = [Path(path).relative_to(library).as_posix() for path in list_audio_files(library)]
    assert names == ["a/x.wav", "bass.wav", "drums.WAV", "lead.wav", "more/keys.wav", "more/voice.wav"]


def test_any_name_is_listed_read_and_fit_to_print(tmp_path: Path) -> None:
    for name in (b"two words.wav", b"two\nlines.wav", b"caf\xe9.wav", b"x" * 240 + b".wav"):
        write_wav(tmp_path / "x.wav", torch.ones(100), 8000)
        os.rename(tmp_path / "x.wav", os.path.join(os.fsencode(tmp_path), name))
    songs = read_songs(list_audio_files(tmp_path), 8000, shortest=1, skipped=Skipped(), root=tmp_path)
    names = {song.name for song in songs}
    assert names == {"two words.wav", "two\\nlines.wav", "caf\\xe9.wav", "x" * 240 + ".wav"}
    stems = {file_stem(name) for name in names}
    assert len(stems) == 4 and all(name.isprintable() and len(name.encode()) <= 200 for name in stems)
    assert "two words.wav" in stems and file_stem("a/b.wav") == "a-b.wav"


def test_a_pattern_goes_by_the_path_below_the_library(library: Path) -> None:
    paths = list_audio_files(library)
    assert [song_name(path, library) for path in matching(paths, library, "more/*")] == [
        "more/keys.wav",
        "more/voice.wav",
    ]
    assert matching(paths, library, "*") == paths
    with pytest.raises(LibraryError, match=r"none of its 5 file\(s\) fits the pattern 'jazz"):
        matching(paths, library, "jazz/*")


def test_songs_are_read_normalized(library: Path) -> None:
    for path in list_audio_files(library):
        samples = read_audio_normalized(path)
        assert samples.dtype == np.float32
        assert samples.ndim == 1
        assert np.abs(samples).max() == 1.0


def test_reading_at_another_sample_rate(library: Path) -> None:
    samples = read_audio_normalized(library / "bass.wav", 16_000)
    assert len(samples) == pytest.approx(8000, abs=2)
    assert np.abs(samples).max() == 1.0


def test_silent_song(tmp_path: Path) -> None:
    write_wav(tmp_path / "mute.wav", torch.zeros(8000), 8000)
    with pytest.raises(AudioError, match=r"mute\.wav: silent"):
        read_audio_normalized(tmp_path / "mute.wav")


def test_of_many_bad_songs_the_first_are_named():
    skipped = Skipped()
    for number in range(3000):
        skipped.add(str(number), f"{number}: silent")
    lines = str(skipped).splitlines()
    assert lines[0] == "skipped 3000 song(s):" and len(lines) == 22
    assert lines[-1] == "  and 2980 more, which `fxemu library scan` lists"


def test_bad_songs_are_skipped_and_named_once(library: Path) -> None:
    write_wav(library / "mute.wav", torch.zeros(8000), 8000)
    write_wav(library / "tiny.wav", torch.ones(30), 8000)
    (library / "odd.mp3").write_text("not a song")
    paths, skipped = list_audio_files(library), Skipped()
    songs = read_songs(paths, 8000, shortest=100, skipped=skipped, root=library)
    read_songs(paths, 8000, shortest=100, skipped=skipped, root=library)
    names = [song.name for song in songs]
    assert names == ["bass.wav", "drums.WAV", "lead.wav", "more/keys.wav", "more/voice.wav"]
    report = str(skipped)
    assert report.startswith("skipped 3 song(s):")
    for name, reason in (("mute.wav", "silent"), ("tiny.wav", "too short: 30 samples"), ("odd.mp3", "decoded")):
        assert report.count(name) == 1
        assert f"{reason}" in next(line for line in report.splitlines() if name in line)


def test_nothing_skipped_is_false(library: Path) -> None:
    skipped = Skipped()
    songs = read_songs(list_audio_files(library), 8000, shortest=4000, skipped=skipped, root=library)
    assert len(songs) == 5
    assert not skipped


def test_split_is_disjoint_and_complete_and_near_the_shares() -> None:
    split = split_songs(NAMES)
    assert sorted(name for names in split.values() for name in names) == sorted(NAMES)
    assert len(split["test"]) == pytest.approx(60, abs=25)
    assert len(split["val"]) == pytest.approx(45, abs=25)


def test_split_depends_on_names_and_seed_alone() -> None:
    shuffled = random.Random(1).sample(NAMES, len(NAMES))
    assert split_songs(NAMES) == split_songs(shuffled + shuffled[:10])
    assert split_songs(NAMES, seed=0) != split_songs(NAMES, seed=1)


def test_hash_order_puts_the_parts_one_after_the_other() -> None:
    split, order = split_songs(NAMES), hash_order(NAMES)
    assert [*sorted(order[: len(split["test"])])] == split["test"]
    assert sorted(order[-len(split["train"]) :]) == split["train"]


def test_new_songs_move_no_old_one() -> None:
    before = part_of(split_songs(NAMES))
    after = part_of(split_songs([*NAMES, *(f"new {i}.flac" for i in range(50))]))
    assert {name: after[name] for name in NAMES} == before
    assert len(after) == 350


@pytest.mark.parametrize("seed", range(5))
def test_no_part_of_a_small_library_is_empty(seed: int) -> None:
    for count in range(3, 25):
        split = split_songs(NAMES[:count], seed=seed)
        assert min(len(names) for names in split.values()) >= 1
        assert sorted(part_of(split)) == sorted(NAMES[:count])
        assert sum(map(len, split.values())) == count


def test_too_few_songs_to_split() -> None:
    with pytest.raises(LibraryError, match=r"got 2 usable song.*at least 3"):
        split_songs(["a.wav", "b.wav", "a.wav"])


def test_choose_repeats_with_its_seed() -> None:
    picked = choose(NAMES, 10, seed=0)
    assert picked == choose(NAMES, 10, seed=0) != choose(NAMES, 10, seed=1)
    assert len(set(picked)) == 10
    assert choose(NAMES, 1000, seed=0) == choose(NAMES, None, seed=0) == NAMES
