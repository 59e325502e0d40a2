"""Measurements of songs against closed forms and another implementation of loudness."""

import math

import numpy as np
import pytest
import torchaudio
from helpers.media import encode, example, tune

from fxemu.audio.loudness import integrated_lufs, k_weighting, measure
from fxemu.audio.tensors import decode, write_wav


def sine(level: float, seconds: float, rate: int = 48_000) -> np.ndarray:
    return (level * np.sin(2 * math.pi * 997 * np.arange(round(seconds * rate)) / rate)).astype(np.float32)[None]


def test_a_sine_at_full_scale_has_minus_three_lufs(tmp_path):
    song = measure(encode(tmp_path / "x.wav", sine(0.999, 5), 48_000))
    assert song.loudness_lufs == pytest.approx(-3.01, abs=0.05)
    assert song.peak == pytest.approx(0.999, abs=1e-3)
    assert (song.duration_s, song.rate, song.channels, song.codec) == (5, 48_000, 1, "pcm_s16le")
    assert (song.silence, song.error, song.damage) == (0, None, None)


@pytest.mark.parametrize("suffix", [".flac", ".m4a", ".mp3", ".ogg", ".wav"])
def test_loudness_agrees_with_torchaudio(suffix):
    samples, rate = decode(example(suffix))
    song = measure(example(suffix))
    assert song.loudness_lufs == pytest.approx(float(torchaudio.functional.loudness(samples[None], rate)), abs=0.1)
    assert song.peak == float(samples.abs().max())
    assert song.duration_s == samples.numel() / rate


def test_k_weighting_is_a_high_pass_and_a_shelf():
    gains = 10 * np.log10(k_weighting(np.array([1.0, 38.0, 500.0, 20_000.0])))
    assert gains[0] < -50 and gains[1] == pytest.approx(-6, abs=0.2)
    assert gains[2] == pytest.approx(0, abs=0.2) and gains[3] == pytest.approx(4, abs=0.1)


def test_quiet_parts_do_not_count_for_loudness_but_for_silence(tmp_path):
    audio = np.concatenate((sine(0.5, 3), np.zeros((1, 144_000), np.float32)), axis=1)
    song = measure(encode(tmp_path / "x.wav", audio, 48_000))
    assert song.silence == pytest.approx(0.5, abs=0.02)
    assert song.loudness_lufs == pytest.approx(-9.03, abs=0.3)
    assert integrated_lufs(np.full(50, 1e-9)) is None


@pytest.mark.parametrize("suffix", ["flac", "m4a", "mp3", "mp4", "ogg", "wav"])
def test_tags_are_read_in_every_format_that_has_them(tmp_path, suffix):
    given = {"title": "Blue\nMonk", "artist": "T" * 300, "genre": "Blues", "comment": "not kept"}
    song = measure(encode(tmp_path / f"x.{suffix}", tune(1, 48_000), 48_000, tags=given))
    assert song.tags == {"title": "Blue\\nMonk", "artist": "T" * 200, "genre": "Blues"}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_unusable_song_has_an_error(tmp_path, value):
    silent, strange = np.zeros((1, 9000), np.float32), tune(1, 8000, 1)[0].copy()
    strange[500] = value
    assert measure(encode(tmp_path / "mute.wav", silent, 8000)).error == "silent: every sample is zero"
    against = encode(tmp_path / "against.wav", tune(1, 8000, 1) * np.float32([[1], [-1]]), 8000)
    assert measure(against).error == "silent: every sample is zero, or its channels cancel each other"
    import torch

    write_wav(tmp_path / "nan.wav", torch.from_numpy(strange), 8000)
    assert measure(tmp_path / "nan.wav").error == "holds samples that are NaN or infinite"
    (tmp_path / "empty.mp3").touch()
    assert measure(tmp_path / "empty.mp3").error.startswith("cannot be decoded (")
    assert measure(tmp_path / "gone: 1.mp3").error == "cannot be decoded (No such file or directory)"


def test_damage_is_described_and_the_rest_is_measured(tmp_path):
    data = example(".flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(data[: len(data) // 2])
    song = measure(tmp_path / "cut.flac")
    assert song.error is None and song.damage.startswith("damaged after 1") and song.peak > 0.1
