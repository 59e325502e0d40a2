"""Decoding and writing tensors: exact where the format is, with clear errors for bad files."""

import math
import wave
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from fxemu.audio.decoding import SUFFIXES
from fxemu.audio.source import AudioError
from fxemu.audio.tensors import decode, encode_flac, peak_normalize, rate_and_channels, write_wav

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
SONGS = sorted(path for path in EXAMPLES.rglob("*") if path.suffix.lower() in SUFFIXES)


def sine(frequency_hz: float, sample_rate: int, level: float = 0.5, seconds: float = 1.0) -> Tensor:
    t = torch.arange(round(seconds * sample_rate), dtype=torch.float64) / sample_rate
    return (level * torch.sin(2 * math.pi * frequency_hz * t)).float()


def half(path: Path, folder: Path) -> Path:
    """A copy of a file, cut off in the middle."""
    data = path.read_bytes()
    cut = folder / f"cut{path.suffix}"
    cut.write_bytes(data[: len(data) // 2])
    return cut


@pytest.mark.parametrize("sample_rate", [8000, 44_100, 96_000])
def test_wav_round_trip_is_exact(tmp_path: Path, sample_rate: int) -> None:
    samples = torch.cat((torch.randn(5000), torch.tensor([0.0, -1.0, 1.5, 1e-30])))
    write_wav(tmp_path / "x.wav", samples, sample_rate)
    read, rate = decode(tmp_path / "x.wav")
    assert rate == sample_rate
    assert read.dtype == torch.float32
    assert torch.equal(read, samples)


def test_write_makes_folders_overwrites_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "x.wav"
    write_wav(path, torch.zeros(100), 8000)
    write_wav(path, torch.ones(50), 8000)
    assert [p.name for p in path.parent.iterdir()] == ["x.wav"]
    assert torch.equal(decode(path)[0], torch.ones(50))


def test_examples_cover_every_format() -> None:
    assert {path.suffix.lower() for path in SONGS} == set(SUFFIXES)


@pytest.mark.parametrize("path", SONGS, ids=lambda path: path.name)
def test_example_decodes(path: Path) -> None:
    samples, rate = decode(path)
    assert samples.ndim == 1
    assert samples.dtype == torch.float32
    assert 20 <= samples.numel() / rate <= 40
    assert torch.isfinite(samples).all()
    assert 0.1 < samples.abs().max() <= 1


def test_sound_of_a_video() -> None:
    path = EXAMPLES / "band" / "last_train.mp4"
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 1
    assert decode(path)[0].std() > 0.01


@pytest.mark.parametrize(("old", "new"), [(48_000, 44_100), (44_100, 22_050), (8000, 44_100), (44_100, 48_000)])
def test_resampling_keeps_length_frequency_and_level(tmp_path: Path, old: int, new: int) -> None:
    write_wav(tmp_path / "x.wav", sine(1000, old), old)
    samples, rate = decode(tmp_path / "x.wav", new)
    assert rate == new
    assert samples.numel() == pytest.approx(new, abs=2)
    spectrum = torch.fft.rfft(samples[:new] * torch.hann_window(new)).abs()
    assert spectrum.argmax() == 1000
    middle = samples[new // 4 : 3 * new // 4]
    assert middle.square().mean().sqrt() == pytest.approx(0.5 / math.sqrt(2), rel=1e-3)


def test_resampling_does_not_alias(tmp_path: Path) -> None:
    write_wav(tmp_path / "x.wav", sine(15_000, 44_100), 44_100)
    samples, _ = decode(tmp_path / "x.wav", 16_000)
    assert samples[1000:-1000].abs().max() < 0.005


def test_stereo_becomes_the_mean_of_its_channels(tmp_path: Path) -> None:
    left, right = np.random.default_rng(0).integers(-32768, 32768, (2, 3000)).astype("<i2")
    with wave.open(str(tmp_path / "x.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(44_100)
        file.writeframes(np.stack((left, right), axis=1).tobytes())
    expected = (left.astype(np.float64) + right) / 2 / 32768
    np.testing.assert_allclose(decode(tmp_path / "x.wav")[0].numpy(), expected, atol=1e-7)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"gone\.mp3: cannot be decoded \(No such file"):
        decode(tmp_path / "gone.mp3")


@pytest.mark.parametrize("content", [b"", b"not a song\n" * 500], ids=["empty", "text"])
def test_file_that_is_not_audio(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd.mp3").write_bytes(content)
    with pytest.raises(AudioError, match=r"odd\.mp3: cannot be decoded"):
        decode(tmp_path / "odd.mp3")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_samples_that_are_not_finite(tmp_path: Path, value: float) -> None:
    samples = torch.zeros(1000)
    samples[500] = value
    write_wav(tmp_path / "odd.wav", samples, 8000)
    with pytest.raises(AudioError, match=r"odd\.wav: .*NaN or infinite"):
        decode(tmp_path / "odd.wav")


def test_file_without_sound(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "mute.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame(16, 16, "yuv420p")
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    with pytest.raises(AudioError, match=r"mute\.mp4: has no audio stream"):
        decode(tmp_path / "mute.mp4")


@pytest.mark.parametrize("name", ["slow_bass.mp3", "piano_waltz.ogg", "sparse_bells.wav"])
def test_a_truncated_stream_is_decoded_up_to_there(tmp_path: Path, name: str) -> None:
    whole, part = decode(EXAMPLES / name)[0], decode(half(EXAMPLES / name, tmp_path))[0]
    assert part.numel() / whole.numel() == pytest.approx(0.5, abs=0.05)
    assert torch.isfinite(part).all()


def test_truncated_m4a_which_has_its_index_at_the_end(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"cut\.m4a: cannot be decoded"):
        decode(half(EXAMPLES / "night_pads.m4a", tmp_path))


def test_peak_normalize() -> None:
    assert peak_normalize(torch.tensor([0.1, -0.3, 0.2])).abs().max() == 1
    for silence in (torch.zeros(10), torch.zeros(0)):
        with pytest.raises(ValueError, match="silent"):
            peak_normalize(silence)


def test_flac_keeps_samples_to_sixteen_bits(tmp_path):
    samples = torch.tensor([0.0, 1.0, -1.0, 0.5, 1.5] * 2000)
    (tmp_path / "a.flac").write_bytes(encode_flac(samples, 44_100))
    decoded, rate = decode(tmp_path / "a.flac")
    assert rate == 44_100 and torch.allclose(decoded, samples.clamp(-1, 1), atol=1 / 30_000)


def test_a_tag_in_another_encoding_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    write_wav(path, torch.zeros(100), 8000)
    artist = b"IART" + (6).to_bytes(4, "little") + b"caf\xe9\0\0"
    tags = b"LIST" + (4 + len(artist)).to_bytes(4, "little") + b"INFO" + artist
    content = bytearray(path.read_bytes() + tags)
    content[4:8] = (len(content) - 8).to_bytes(4, "little")
    path.write_bytes(content)
    assert rate_and_channels(path) == (8000, 1) and decode(path)[0].numel() == 100
