"""`effect=recorded`: files are matched, aligned, refused or forced, and split without overlap."""

import os
from pathlib import Path

import pytest
import torch
from helpers.commands import forked
from helpers.recordings import RATE, compressor, interface, music
from omegaconf import OmegaConf

from fxemu.audio.encoding import writing
from fxemu.audio.tensors import decode, write_wav
from fxemu.cli import check_pair, train
from fxemu.data import SongData
from fxemu.effects import Recorded
from fxemu.library.recordings.checks import check_pair as check
from fxemu.library.recordings.pairs import clean, cut, examine, read_recordings
from fxemu.library.recordings.split import split_recordings
from fxemu.library.songs import LibraryError
from fxemu.training import overrides


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
    ((forced,),) = read_recordings(Recorded(*names, force=True), RATE).values()
    assert forced.dry.shape == forced.wet.shape and forced.dry.numel() > 2.9 * RATE


@pytest.mark.parametrize(
    ("gaps", "kept"),
    [
        ([], [(10, 100)]),
        ([(30, 40)], [(10, 30), (40, 100)]),
        ([(5, 20), (80, 200)], [(20, 80)]),
        ([(0, 5)], [(10, 100)]),
        ([(20, 30), (30, 50)], [(10, 20), (50, 100)]),
        ([(20, 60), (30, 50), (90, 200), (95, 110)], [(10, 20), (60, 90)]),
    ],
)
def test_all_stretches_without_a_dropout_are_kept(gaps, kept):
    assert clean(10, 100, gaps) == kept


def test_all_stretches_of_a_recording_are_used_and_their_seconds_are_said(pair, tmp_path):
    wet, _ = decode(pair[1])
    for second in (2, 4):
        wet[second * RATE : second * RATE + 2028] = 0
    write_wav(tmp_path / "wet.wav", wet, RATE)
    report, stretches = examine(pair[0], tmp_path / "wet.wav", RATE, Recorded(*map(str, pair)))
    assert [round(stretch.dry.numel() / RATE, 1) for stretch in stretches] == [2.0, 2.0, 2.0]
    assert "s are used, in 3 stretches" in str(report) and "wet drops out 2 times, 0.09 s in all" in str(report)


@pytest.mark.parametrize("noise", [0.0, 1e-5, 3e-3])
@pytest.mark.parametrize("seconds", [(1, 4, 3, 0), (0, 4, 6, 4), (3, 2, 4, 3), (0, 6, 2, 0)], ids=str)
def test_silence_is_left_out_but_for_a_little_around_sound(noise, seconds):
    before, sound, pause, more = seconds
    parts = torch.zeros(before * RATE), music(sound, silence_s=0), torch.zeros(pause * RATE), music(6, silence_s=0)
    dry = torch.cat((*parts[:3], parts[3][: more * RATE]))
    wet = torch.tanh(3 * dry) + noise * torch.randn(dry.numel(), generator=torch.Generator().manual_seed(0))
    kept = cut("a", dry, wet, check(dry, wet, RATE), RATE)
    assert len(kept) == 1 + bool(more)
    silent = [pair.dry.numel() / RATE - s for pair, s in zip(kept, [sound, more], strict=False)]
    ends = 2 * len(kept) - (before == 0) - (more > 0)
    assert 0 < sum(silent) < 0.55 * ends + 0.1
    parts = split_recordings({"a": kept}, 300, 0.15, 0.2, 0)
    assert all(float(pair.wet.square().mean()) > 1e-2 for pairs in parts.values() for pair in pairs)


@pytest.mark.parametrize("dead", [(0.0, 0.36), (0.64, 1.0), (0.0, 0.1)], ids=str)
def test_ends_that_were_not_recorded_are_left_out(dead):
    dry = music(8)
    wet = torch.tanh(3 * dry)
    first, end = (int(share * dry.numel()) for share in dead)
    wet[first:end] = 0
    report = check(dry, wet, RATE)
    assert "while dry plays: left out" in str(report) and not report.refused, str(report)
    (kept,) = cut("a", dry, wet, report, RATE)
    assert kept.dry.numel() == pytest.approx((1 - dead[1] + dead[0]) * dry.numel(), abs=0.7 * RATE)


def test_wet_that_is_dry_is_refused_and_at_another_gain_warned_of(pair, tmp_path):
    dry, _ = decode(pair[0])
    for gain, kind in ((1.0, "refused  wet is dry at +0.0 dB"), (-0.5, "warning  wet is dry at -6.0 dB")):
        write_wav(tmp_path / "wet.wav", gain * dry, RATE)
        report, _ = examine(pair[0], tmp_path / "wet.wav", RATE, Recorded(*map(str, pair)))
        assert kind in str(report), str(report)


def test_one_file_named_twice_is_refused_unless_two_sides_of_it_are_meant(pair, tmp_path):
    sides = torch.stack([decode(path)[0][: 6 * RATE] for path in pair])
    with writing(tmp_path / "both.wav", RATE, "stereo") as write:
        write(sides.numpy())
    both = str(tmp_path / "both.wav")
    report, _ = examine(Path(both), Path(both), RATE, Recorded(both, both))
    assert report.refused and "effect.dry_channel=1 effect.wet_channel=2" in str(report)
    report, _ = examine(Path(both), Path(both), RATE, Recorded(both, both, dry_channel=1, wet_channel=2))
    assert not report.refused and "latency 21" in str(report)


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


def test_the_recordings_rate_is_kept_unless_another_is_asked_for(tmp_path, monkeypatch):
    write_wav(tmp_path / "dry.wav", music(2), 48_000)
    monkeypatch.chdir(tmp_path)
    words = ["effect=recorded", "dry=dry.wav", "wet=dry.wav"]
    assert "data.sample_rate=48000" in overrides.arguments(words)
    assert "data.sample_rate=48000" not in overrides.arguments([*words, "data.sample_rate=44100"])
    assert "data.sample_rate=48000" not in overrides.arguments(["effect=recorded", "dry=dry.wav", "wet=none.wav"])
