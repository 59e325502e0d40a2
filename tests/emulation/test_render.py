"""`fxemu render`: formats, rates, channels, folders, pipes, lengths, and every wrong argument."""

import os
import re
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from helpers.media import encode, tune

from fxemu.audio.channels import separate
from fxemu.audio.decoding import opened, read
from fxemu.audio.tensors import decode, write_wav
from fxemu.cli.render import main
from fxemu.emulation import load, render
from fxemu.models.files import save

ROOT = Path(__file__).parent.parent.parent
RATE = 44_100
RAW = {"_target_": "fxemu.representations.Raw"}
CONFIGS = {
    "mlp": {"_target_": "fxemu.models.MLP", "context_window": 32, "feedback_window": 16, "layers": 2, "width": 8},
    "lstm": {"_target_": "fxemu.models.LSTM", "width": 5, "memory_samples": 40},
}


@pytest.fixture
def run(tmp_path, make_loop) -> Path:
    return saved(tmp_path / "run", make_loop())


def saved(folder: Path, loop, model: str = "mlp", **arguments: object) -> Path:
    folder.mkdir()
    config = {"data": {"sample_rate": RATE}, "model": CONFIGS[model] | arguments, "repr": {"input": RAW, "output": RAW}}
    save(loop, config, folder)
    return folder


def call(*words: object) -> int:
    """Render, and return the exit status."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return ended.value.code


def read_channels(path: Path) -> np.ndarray:
    """All samples of a file, (channels, samples)."""
    with opened(path) as source:
        return np.concatenate([block for _, block in source.blocks(mix=separate)], axis=1)


def test_channels_are_rendered_separately_at_the_rate_of_the_song(run, tmp_path):
    dry = tune(0.5, rate=48_000)
    encode(tmp_path / "in.wav", dry, rate=48_000)
    assert call(run, tmp_path / "in.wav", tmp_path / "out.wav") == 0
    with opened(tmp_path / "out.wav") as source:
        assert (source.rate, source.channels, source.codec) == (48_000, 2, "pcm_f32le")
    stored = read_channels(tmp_path / "in.wav")
    assert np.array_equal(read_channels(tmp_path / "out.wav"), load(run)(stored, 48_000))


@pytest.mark.parametrize("suffix", ["flac", "mp3", "ogg", "m4a"])
def test_any_format_can_be_rendered(run, tmp_path, suffix):
    rate = 48_000 if suffix == "ogg" else RATE
    encode(tmp_path / f"in.{suffix}", tune(0.5, rate=rate), rate=rate)
    assert call(run, tmp_path / f"in.{suffix}", tmp_path / "out.wav") == 0
    assert np.array_equal(
        read_channels(tmp_path / "out.wav"), load(run)(read_channels(tmp_path / f"in.{suffix}"), rate)
    )


def test_a_song_whose_channels_change_is_rendered_to_its_end(run, tmp_path):
    parts = [encode(tmp_path / f"{n}.aac", tune(0.5, channels=n)).read_bytes() for n in (2, 1, 8)]
    (tmp_path / "in.aac").write_bytes(b"".join(parts))
    assert call(run, tmp_path / "in.aac", tmp_path / "out.wav") == 0
    rendered, mono = read_channels(tmp_path / "out.wav"), read(tmp_path / "in.aac")
    assert rendered.shape == (2, mono.samples.size) and mono.damage is None
    # After the change both channels are the model's output for their mean.
    assert np.array_equal(rendered[0, -30_000:], rendered[1, -30_000:]) and np.abs(rendered[0, -30_000:]).max() > 0.01


def test_flac_has_24_bits_and_says_when_it_cuts_off(run, tmp_path, capsys):
    write_wav(tmp_path / "in.wav", torch.from_numpy(tune(0.5)[0]), RATE)
    call(run, tmp_path / "in.wav", tmp_path / "out.wav")
    assert call(run, tmp_path / "in.wav", tmp_path / "out.flac") == 0
    exact, stored = read_channels(tmp_path / "out.wav"), read_channels(tmp_path / "out.flac")
    assert 0 < np.abs(stored - exact).max() <= 2**-23
    assert "cut off" not in capsys.readouterr().err
    assert call(run, tmp_path / "in.wav", tmp_path / "out.flac", "--output-gain-db", 60) == 0
    assert "cut off at 0" in capsys.readouterr().err and np.abs(read_channels(tmp_path / "out.flac")).max() <= 1


def test_gains_and_mix(run, tmp_path):
    dry = tune(0.3, channels=1)
    write_wav(tmp_path / "in.wav", torch.from_numpy(dry[0]), RATE)
    given = ["--mix", 0.25, "--input-gain-db", 6, "--output-gain-db", -12]
    assert call(run, tmp_path / "in.wav", tmp_path / "out.wav", *given) == 0
    wet = load(run)(dry * 10 ** (6 / 20), RATE)
    expected = 10 ** (-12 / 20) * (0.25 * wet + 0.75 * dry)
    assert np.allclose(read_channels(tmp_path / "out.wav"), expected, atol=1e-6)


@pytest.mark.parametrize("rate", [RATE, 32_000])
def test_a_mix_without_wet_is_the_song(run, tmp_path, rate):
    dry = tune(0.7, rate=rate)
    encode(tmp_path / "in.wav", dry, rate=rate)
    assert call(run, tmp_path / "in.wav", tmp_path / "out.wav", "--mix", 0) == 0
    assert np.array_equal(read_channels(tmp_path / "out.wav"), read_channels(tmp_path / "in.wav"))


def test_a_folder_goes_into_a_folder_and_a_bad_song_is_named(run, tmp_path, capsys):
    (tmp_path / "in" / "more").mkdir(parents=True)
    encode(tmp_path / "in" / "a.wav", tune(0.2))
    encode(tmp_path / "in" / "more" / "a.flac", tune(0.2))
    encode(tmp_path / "in" / "more" / "a.ogg", tune(0.2, rate=48_000), rate=48_000)
    (tmp_path / "in" / "bad.wav").write_text("no sound")
    assert call(run, tmp_path / "in", tmp_path / "out") == 1
    written = {
        path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()
    }
    assert written == {"a.wav", "more/a.flac.wav", "more/a.ogg.wav"}
    printed = capsys.readouterr().err.splitlines()
    assert [line for line in printed if line.startswith("error")] == [line for line in printed if "bad.wav" in line]


def test_pipes(run, tmp_path):
    """A WAV on a pipe has no length in its header."""
    encode(tmp_path / "in.wav", tune(3.0))
    call(run, tmp_path / "in.wav", tmp_path / "out.wav")
    stored = (tmp_path / "in.wav").read_bytes()
    data = stored.index(b"data") + 4
    endless = stored[:4] + b"\xff" * 4 + stored[8:data] + b"\xff" * 4 + stored[data + 4 :]
    command = [sys.executable, "-m", "fxemu", "render", str(run), "-", "-"]
    done = subprocess.run(command, cwd=ROOT, input=endless, capture_output=True)
    assert done.returncode == 0 and b"cut off" not in done.stderr, done.stderr
    (tmp_path / "piped.wav").write_bytes(done.stdout)
    assert np.array_equal(read_channels(tmp_path / "piped.wav"), read_channels(tmp_path / "out.wav"))


def test_a_primed_run_continues_from_the_recording(tmp_path, make_loop):
    loop = make_loop(model="lstm", feedback=True)
    run = saved(tmp_path / "run", loop, "lstm")
    dry, wet, more = (torch.from_numpy(tune(0.1, channels=1, seed=seed)[0]) for seed in range(3))
    for name, samples in {"dry": dry, "wet": wet, "in": more}.items():
        write_wav(tmp_path / f"{name}.wav", samples, RATE)
    prime = ["--prime", tmp_path / "dry.wav", tmp_path / "wet.wav"]
    assert call(run, tmp_path / "in.wav", tmp_path / "out.wav", *prime) == 0
    primed = load(run).stream(dry, wet).process(more)
    result = torch.from_numpy(read_channels(tmp_path / "out.wav")[0])
    assert torch.allclose(result, primed, atol=1e-5)
    fresh = load(run)(more, RATE)
    assert (result - fresh)[:10].abs().max() > 1e-3, "where it begins matters"


def test_a_primed_run_needs_recordings_of_one_length(run, tmp_path, capsys):
    for name, samples in {"dry": 500, "wet": 400, "in": 100}.items():
        write_wav(tmp_path / f"{name}.wav", torch.zeros(samples), RATE)
    prime = ["--prime", tmp_path / "dry.wav", tmp_path / "wet.wav"]
    assert call(run, tmp_path / "in.wav", tmp_path / "out.wav", *prime) == 1
    assert "got 500 and 400 samples" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["silence", "sine", "file"])
def test_other_feedback_is_teacher_forcing_with_that_signal(run, tmp_path, make_loop, kind):
    dry = torch.from_numpy(tune(0.4, channels=1)[0])
    other = torch.from_numpy(tune(0.3, channels=1, seed=1)[0])
    for name, samples in {"in": dry, "other": other}.items():
        write_wav(tmp_path / f"{name}.wav", samples, RATE)
    given = tmp_path / "other.wav" if kind == "file" else kind
    assert call(run, tmp_path / "in.wav", tmp_path / "out.wav", "--feedback", given) == 0
    cycle = 0.5 * torch.sin(2 * torch.pi * 440 / RATE * torch.arange(dry.numel(), dtype=torch.float64)).float()
    ended = torch.nn.functional.pad(other, (0, dry.numel() - other.numel()))
    fed = {"silence": torch.zeros_like(dry), "sine": cycle, "file": ended}[kind]
    loop = make_loop()
    silence = torch.zeros(loop.warm_up)
    expected, _ = loop.teacher_forced(torch.cat((silence, dry))[None, None], torch.cat((silence, fed))[None, None])
    result = torch.from_numpy(read_channels(tmp_path / "out.wav")[0])
    assert torch.allclose(result, expected[0, 0].clamp(-loop.limit, loop.limit), atol=1e-5)


def test_a_model_without_feedback_has_none_to_replace(tmp_path, make_loop, capsys):
    run = saved(tmp_path / "run", make_loop(feedback=False), feedback=False)
    write_wav(tmp_path / "in.wav", torch.zeros(10), RATE)
    assert call(run, tmp_path / "in.wav", tmp_path / "out.wav", "--feedback", "sine") == 1
    assert "this model has no feedback" in capsys.readouterr().err


def peak_kb() -> int:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1])


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory can be reset on Linux alone")
def test_a_long_song_takes_no_more_memory_than_a_short_one(run, tmp_path):
    peaks = []
    for seconds in (4, 200):
        encode(tmp_path / "in.wav", np.zeros((1, seconds * RATE), np.float32))
        Path("/proc/self/clear_refs").write_text("5")
        before = peak_kb()
        assert call(run, tmp_path / "in.wav", tmp_path / "out.wav") == 0
        peaks.append(peak_kb() - before)
    samples_kb = 200 * RATE * 4 // 1000
    assert peaks[1] < peaks[0] + samples_kb / 3


def test_an_interrupted_render_leaves_the_old_file(run, tmp_path, monkeypatch, capsys):
    encode(tmp_path / "in.wav", tune(1.0))
    (tmp_path / "out.wav").write_text("as it was")
    result, calls = render.Mix.output, []

    def interrupted(*given):
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return result(*given)

    monkeypatch.setattr(render.Mix, "output", interrupted)
    assert call(run, tmp_path / "in.wav", tmp_path / "out.wav") == 130
    assert (tmp_path / "out.wav").read_text() == "as it was"
    assert not list(tmp_path.glob(".*")) and "interrupted" in capsys.readouterr().err


def cut(path: Path) -> Path:
    encode(path, tune(3.0))
    os.truncate(path, path.stat().st_size // 2)
    return path


def test_the_rest_of_a_damaged_song_is_rendered(run, tmp_path, capsys):
    assert call(run, cut(tmp_path / "in.flac"), tmp_path / "out.wav") == 0
    assert re.search(r"(cut off|damaged) after 1\.\d (of 3.0 )?s.*; the rest of it was used", capsys.readouterr().err)


def test_nan_in_a_song_counts_as_0_and_is_told(run, tmp_path, capsys):
    write_wav(tmp_path / "in.wav", torch.tensor([0.5, float("nan"), 0.25]), RATE)
    assert call(run, tmp_path / "in.wav", tmp_path / "out.wav", "--mix", 0.5) == 0
    assert "in.wav: holds samples that are NaN or infinite, which count as 0" in capsys.readouterr().err
    dry = np.array([0.5, 0, 0.25], np.float32)
    assert np.allclose(read_channels(tmp_path / "out.wav")[0], 0.5 * (load(run)(dry, RATE) + dry), atol=1e-6)


def test_the_output_of_a_model_that_overflows_is_not_written(run, tmp_path, monkeypatch, capsys):
    write_wav(tmp_path / "in.wav", torch.zeros(100), RATE)
    monkeypatch.setattr(render.Channel, "end", lambda self: np.full(100, np.inf, np.float32))
    assert call(run, tmp_path / "in.wav", tmp_path / "out.wav") == 1
    assert "the model makes samples of it that are NaN or infinite" in capsys.readouterr().err
    assert not (tmp_path / "out.wav").exists()


def test_oversampled_it_is_as_long_and_nearly_the_same(run, tmp_path):
    write_wav(tmp_path / "in.wav", torch.from_numpy(tune(0.3, channels=1)[0]), RATE)
    assert call(run, tmp_path / "in.wav", tmp_path / "out.wav", "--oversample", 2, "--mix", 0.5) == 0
    dry = read_channels(tmp_path / "in.wav")
    expected = 0.5 * (load(run, oversample=2)(dry, RATE) + dry)
    result = read_channels(tmp_path / "out.wav")
    assert np.allclose(result, expected, atol=1e-6)
    plain = 0.5 * (load(run)(dry, RATE) + dry)
    assert 0 < np.square(result - plain).sum() < 1e-2 * np.square(plain).sum()


MISTAKES = {
    "no run": (["nowhere", "in.wav", "out.wav"], "nowhere: no such run"),
    "a foreign run": (["in.wav", "in.wav", "out.wav"], "in.wav: is no run of ours"),
    "no input": (["run", "none.wav", "out.wav"], "none.wav: cannot be decoded (No such file"),
    "no sound": (["run", "text.wav", "out.wav"], "text.wav: cannot be decoded"),
    "another format": (["run", "in.wav", "out.mp3"], "out.mp3: cannot be written; a name that ends in .wav or .flac"),
    "no suffix": (["run", "in.wav", "out"], "out: cannot be written; a name that ends in"),
    "a folder in the way": (["run", "in.wav", "folder.wav"], "folder.wav: cannot be written (Is a directory"),
    "below a file": (["run", "in.wav", "in.wav/out.wav"], "in.wav/out.wav: cannot be written"),
    "itself": (["run", "in.wav", "in.wav"], "is the input itself"),
    "the folder itself": (["run", "songs", "songs"], "is the input itself"),
    "a folder into a file": (["run", "songs", "in.wav"], "in.wav: must be a folder"),
    "a folder into a pipe": (["run", "songs", "-"], "must be a folder"),
    "an empty folder": (["run", "empty", "out"], "empty: holds no song"),
    "two songs into one": (["run", "twice", "out"], "a.mp3.wav: two songs of twice would be rendered into it"),
    "mix": (["run", "in.wav", "out.wav", "--mix", "2"], "--mix: got 2.0; must be from 0"),
    "gain": (["run", "in.wav", "out.wav", "--input-gain-db", "nan"], "--input-gain-db: got nan; must be from -60"),
    "oversampling": (["run", "in.wav", "out.wav", "--oversample", "3"], "oversampling: got 3; must be 1 (none), 2, 4"),
    "oversampled and primed": (
        ["run", "in.wav", "out.wav", "--oversample", "2", "--feedback", "sine"],
        "--oversample: with --prime or --feedback",
    ),
    "no prime": (["run", "in.wav", "out.wav", "--prime", "none.wav", "in.wav"], "none.wav: cannot be decoded"),
    "no feedback": (["run", "in.wav", "out.wav", "--feedback", "none.wav"], "none.wav: cannot be decoded"),
}


@pytest.mark.parametrize(("words", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_wrong_argument_is_a_one_line_error(run, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    for folder in ("songs", "empty", "twice", "folder.wav"):
        (tmp_path / folder).mkdir()
    (tmp_path / "twice" / "a.mp3").touch()
    for name in ("in.wav", "songs/in.wav", "twice/a.mp3.wav"):
        write_wav(tmp_path / name, torch.zeros(100), RATE)
    (tmp_path / "text.wav").write_text("no sound")
    before = decode(tmp_path / "in.wav")[0]
    assert call(*words) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("error: ") and printed.count("\n") == 1 and message in printed
    assert torch.equal(decode(tmp_path / "in.wav")[0], before) and not (tmp_path / "out.wav").exists()


def test_no_song_is_written_to_a_terminal(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert call(run, tmp_path / "in.wav", "-") == 1
    assert "stdout is a terminal" in capsys.readouterr().err


def test_a_full_disk_is_a_one_line_error(run, tmp_path, monkeypatch, capsys):
    encode(tmp_path / "in.wav", tune(0.2))

    def full(*_):
        raise av.error.OSError(28, "No space left on device")

    monkeypatch.setattr("fxemu.audio.encoding._packed", full)
    assert call(run, tmp_path / "in.wav", tmp_path / "out.wav") == 1
    assert capsys.readouterr().err.strip().endswith("out.wav: cannot be written (No space left on device)")
    assert not list(tmp_path.glob(".*"))
