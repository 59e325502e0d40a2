"""`effect=recorded`: files are matched, aligned, refused or forced, and split without overlap."""

import os
from pathlib import Path

import pytest
import torch
from helpers.commands import forked
from helpers.recordings import RATE, compressor, interface, music
from omegaconf import OmegaConf
from torchaudio import functional as AF

from fxemu.audio.tensors import decode, write_wav
from fxemu.cli import check_pair, train
from fxemu.data import SongData
from fxemu.effects import Recorded
from fxemu.library.pair import Pair
from fxemu.library.recordings.pairs import examine, longest_clean, match_files, read_recordings, split_recordings
from fxemu.library.songs import LibraryError


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("pair")
    dry = music(6)
    write_wav(folder / "dry.wav", dry, RATE)
    write_wav(folder / "wet.wav", interface(0.5 * compressor(dry), noise_db=-70), RATE)
    return folder / "dry.wav", folder / "wet.wav"


def test_a_pair_is_aligned_and_split_in_time(pair):
    data = SongData(Recorded(*map(str, pair)), context=64)
    data.setup()
    parts = {part: pairs[0] for part, pairs in data.parts.items()}
    assert [pairs.name for pairs in parts.values()] == ["dry-train", "dry-val", "dry-test"]
    for part in parts.values():
        assert part.dry.shape == part.wet.shape
        # What is left is the margin and a fraction of a sample, 2.4 samples in all.
        error = part.wet - interface(0.5 * compressor(part.dry), 2.4, 0, -70)[: part.wet.numel()]
        # The compressor of a piece starts from rest: compare after its 10 ms.
        assert error[10_000:].square().mean() < 1e-3 * part.wet.square().mean()


@pytest.mark.parametrize(
    ("spoil", "finding"),
    [
        (lambda dry, wet: (wet, dry), "they are swapped"),
        (lambda dry, wet: (dry, 0.5 * compressor(music(6, seed=9))), "wet does not depend on dry .* another take"),
        (lambda dry, wet: (dry, wet[: dry.numel() // 2]), "dry lasts 6.0 s and wet 3.0 s, .* or one is cut off"),
    ],
    ids=["swapped", "another take", "half the length"],
)
def test_recordings_that_do_not_match_are_refused_unless_forced(pair, tmp_path, spoil, finding):
    names = [str(tmp_path / name) for name in ("dry.wav", "wet.wav")]
    for name, samples in zip(names, spoil(*(decode(path)[0] for path in pair)), strict=True):
        write_wav(name, samples, RATE)
    with pytest.raises(LibraryError, match=f"{finding}.* To use it anyway: force=true"):
        read_recordings(Recorded(*names), RATE)
    (forced,) = read_recordings(Recorded(*names, force=True), RATE)
    assert forced.dry.shape == forced.wet.shape and forced.dry.numel() > 2.9 * RATE


def test_other_rates_and_stereo_are_noted(tmp_path):
    dry = music(2)
    write_wav(tmp_path / "dry.wav", AF.resample(dry, RATE, 48_000), 48_000)
    write_wav(tmp_path / "wet.wav", dry, RATE)
    *_, report = examine(tmp_path / "dry.wav", tmp_path / "wet.wav", RATE)
    assert "dry is at 48000 Hz: resampled to 44100 Hz" in str(report) and not report.refused


def test_folders_are_matched_by_name(tmp_path):
    for name in ("dry/a.wav", "dry/b.flac", "wet/a.flac", "wet/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(LibraryError, match="has no recording of b; names must be as in"):
        match_files(tmp_path / "dry", tmp_path / "wet")
    (tmp_path / "wet/b.mp3").touch()
    matched = match_files(tmp_path / "dry", tmp_path / "wet")
    assert [(a.name, b.name) for a, b in matched] == [("a.wav", "a.flac"), ("b.flac", "b.mp3")]
    (tmp_path / "dry/a.flac").touch()
    with pytest.raises(LibraryError, match="names must differ before the suffix"):
        match_files(tmp_path / "dry", tmp_path / "wet")


def ramp(name: str, samples: int = 1000) -> Pair:
    return Pair(name, torch.arange(samples), torch.arange(samples))


def test_pieces_in_time_leave_a_gap():
    parts = split_recordings([ramp("a.wav")], 50, 0.15, 0.2, seed=0)
    edges = [(int(p[0].dry[0]), int(p[0].dry[-1])) for p in parts.values()]
    assert edges == [(0, 584), (635, 769), (820, 999)]
    with pytest.raises(LibraryError, match=r"a.wav: 300 usable samples are too few"):
        split_recordings([ramp("a.wav", 300)], 50, 0.15, 0.2, seed=0)


def test_three_files_are_split_by_file():
    parts = split_recordings([ramp(name) for name in "abc"], 50, 0.15, 0.2, seed=0)
    assert sorted(p[0].name for p in parts.values()) == ["a", "b", "c"]
    assert all(p[0].dry.numel() == 1000 for p in parts.values())


@pytest.mark.parametrize(
    ("gaps", "kept"),
    [([], (10, 100)), ([(30, 40)], (40, 100)), ([(5, 20), (80, 200)], (20, 80)), ([(0, 5)], (10, 100))],
)
def test_the_longest_stretch_without_a_dropout_is_kept(gaps, kept):
    assert longest_clean(10, 100, gaps) == kept


def test_paths_are_checked_at_construction(pair, tmp_path):
    with pytest.raises(ValueError, match="dry: got None; must be a recording"):
        Recorded()
    with pytest.raises(ValueError, match="must be two files or two folders"):
        Recorded(str(pair[0]), str(tmp_path))


@pytest.mark.parametrize(("order", "code", "words"), [(1, 0, "latency 21"), (-1, 1, "they are swapped")])
def test_check_pair_prints_findings_and_whether_training_would_start(pair, capsys, order, code, words):
    with pytest.raises(SystemExit) as left:
        check_pair.main([*map(str, pair)][::order])
    assert left.value.code == code and words in capsys.readouterr().out


def test_check_pair_of_two_unrelated_songs_has_one_finding(tmp_path, capsys):
    names = [str(tmp_path / name) for name in ("one.wav", "two.wav")]
    for seed, name in enumerate(names):
        write_wav(name, music(5 + seed, seed), RATE)
    with pytest.raises(SystemExit) as left:
        check_pair.main(names)
    printed = capsys.readouterr().out
    assert left.value.code == 1 and "refused  wet does not depend on dry" in printed
    assert printed.endswith("refused: training would need force=true\n") and printed.count("refused  ") == 1


def test_check_pair_of_half_a_recording_has_one_finding(pair, tmp_path, capsys):
    wet, _ = decode(pair[1])
    write_wav(tmp_path / "half.wav", wet[: int(0.4 * wet.numel())], RATE)
    with pytest.raises(SystemExit) as left:
        check_pair.main([str(pair[0]), str(tmp_path / "half.wav")])
    printed = capsys.readouterr().out
    assert left.value.code == 1 and "the recording is cut off" in printed and printed.count("refused  ") == 1, printed


def test_check_pair_of_a_missing_file_is_a_one_line_error(pair, capsys):
    with pytest.raises(SystemExit):
        check_pair.main([str(pair[0]), "nowhere.wav"])
    assert capsys.readouterr().err == "error: nowhere.wav: no such file or folder\n"


def test_recordings_are_trained_on_from_the_command_line(pair, tmp_path):
    dry, wet = map(str, pair)
    options = [
        "effect=recorded",
        f"dry={os.path.relpath(dry, tmp_path)}",
        f"wet={wet}",
        "model=mlp",
        "debug=fast",
        "threads=1",
        "trainer.accelerator=cpu",
        "hydra.run.dir=run",
    ]
    done = forked(lambda: train.main(options), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "latency 21" in done.stderr and (tmp_path / "run" / "audio" / "dry-test-prediction.wav").is_file()
    # For the resumed run to work from any folder.
    assert OmegaConf.load(tmp_path / "run" / "config.yaml").effect.dry == os.path.join(
        tmp_path, os.path.relpath(dry, tmp_path)
    )


def test_recordings_that_are_too_short_are_left_out_and_named(capsys):
    parts = split_recordings([ramp("stub", 40), *(ramp(name) for name in "abc")], 50, 0.15, 0.2, seed=0)
    assert sorted(r.name for part in parts.values() for r in part) == ["a", "b", "c"]
    assert capsys.readouterr().err == "left out: stub: 40 usable samples, of 50 that are needed\n"
    with pytest.raises(LibraryError, match="stub: 40 usable samples, of 50 that are needed; record for longer"):
        split_recordings([ramp("stub", 40)], 50, 0.15, 0.2, seed=0)
