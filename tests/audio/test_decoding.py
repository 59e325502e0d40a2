"""Decoding a stretch equals decoding the whole, sample by sample; and every kind of bad file."""

import os
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from helpers.media import ENCODERS, encode, example, tune

from fxemu.audio.decoding import OTHER_SUFFIXES, READ_SUFFIXES, SUFFIXES, opened, read
from fxemu.audio.loudness import measure
from fxemu.audio.source import AudioError
from fxemu.audio.tensors import decode, write_wav
from fxemu.files import printable
from fxemu.library.recordings.files import read_side

# That FFmpeg can also write.
MORE = (
    ".ac3", ".aiff", ".au", ".caf", ".m4b", ".mka", ".mkv", ".mov", ".mp2", ".oga", ".opus", ".tta", ".w64", ".webm",
    ".wma", ".wv",
)  # fmt: skip


def largest_difference(path: Path, sample_rate: int | None = None, seconds: int = 2) -> float:
    """Between stretches read from the middle, everywhere in a file, and the same parts of a whole decode."""
    whole = read(path, sample_rate)
    differences = []
    for start in range(0, whole.samples.size // whole.rate, 2):
        expected = whole.samples[start * whole.rate : (start + seconds) * whole.rate]
        part = read(path, sample_rate, start, seconds)
        assert part.rate == whole.rate and part.samples.size == expected.size
        differences.append(np.abs(part.samples - expected).max())
    return max(differences)


@pytest.mark.parametrize("sample_rate", [None, 22_050])
@pytest.mark.parametrize("suffix", [".flac", ".mp3", ".ogg", ".wav"])
def test_a_stretch_of_an_example_is_that_part_of_the_whole(suffix, sample_rate):
    assert largest_difference(example(suffix), sample_rate) < 1e-6


@pytest.mark.parametrize("suffix", ["aac", "m4a", "mp4"])
def test_a_stretch_of_aac_without_noise_substitution_is_that_part_of_the_whole(tmp_path, suffix):
    # FFmpeg's encoder may leave noise to the decoder's random numbers, which differ from one decode to the next.
    path = encode(tmp_path / f"x.{suffix}", tune(9), aac_pns="0")
    assert largest_difference(path) < 1e-6
    assert largest_difference(path, 48_000) < 1e-6


# Nothing says how long these are, or they cannot be read at all without their end; WMA is not encoded at 48 kHz.
ENDLESS = {".aac", ".ac3", ".mp2", ".caf", ".w64", ".m4a", ".m4b", ".mp4", ".mov", ".wma"}


@pytest.mark.parametrize("suffix", sorted({*SUFFIXES, *MORE} - ENDLESS))
def test_half_a_file_is_damaged_and_a_whole_one_is_not(tmp_path, suffix):
    whole = encode(tmp_path / f"whole{suffix}", tune(4, 48_000), 48_000)
    content = whole.read_bytes()
    half = tmp_path / f"half{suffix}"
    half.write_bytes(content[: len(content) // 2])
    assert measure(whole).damage is None
    assert measure(half).damage.startswith(("cut off after ", "damaged after ")) and 0.5 < measure(half).duration_s < 3


@pytest.mark.parametrize("size", [0, 2**32 - 1, 0x7FFFF000, None])
def test_a_wav_that_does_not_know_its_size_is_whole(tmp_path, size):
    path = encode(tmp_path / "x.wav", tune(3))
    content = bytearray(path.read_bytes())
    place = content.index(b"data")
    # None: a chunk of an odd size before it, and text after it.
    content[place + 4 : place + 8] = content[place + 4 : place + 8] if size is None else size.to_bytes(4, "little")
    odd = b"junk\3\0\0\0abc\0"
    path.write_bytes(content[:place] + odd + content[place:] + odd if size is None else content)
    assert measure(path).damage is None and measure(path).duration_s == 3


@pytest.mark.parametrize("suffix", [".aac", ".m4a", ".mp4"])
def test_aac_of_the_examples_is_aligned_to_the_sample(suffix):
    whole, start = read(example(suffix)), 13
    part = read(example(suffix), None, start, 4).samples

    def error(lag: int) -> float:
        there = whole.samples[start * whole.rate + lag :][: part.size]
        return float(np.square(part - there).sum() / np.square(there).sum())

    assert error(0) < 1e-3 < min(error(lag) for lag in (-2, -1, 1, 2))


def test_a_stretch_of_opus_converges_to_that_part_of_the_whole(tmp_path):
    assert largest_difference(encode(tmp_path / "x.ogg", tune(9, 48_000), 48_000)) < 1e-3


@pytest.mark.parametrize("options", [{"write_xing": "0"}, {"q": "4"}, {"b": "64000"}], ids=str)
def test_a_stretch_of_mp3_without_a_header_or_of_changing_bit_rate(tmp_path, options):
    assert largest_difference(encode(tmp_path / "x.mp3", tune(9), **options)) < 1e-6


def test_a_stretch_ends_with_the_song(tmp_path):
    path = encode(tmp_path / "x.wav", tune(3.5))
    assert read(path, None, 3, 2).samples.size == 22_050
    assert read(path, None, 5, 2).samples.size == 0


@pytest.mark.parametrize("suffix", [".aac", ".flac", ".mp3", ".ogg", ".wav"])
def test_a_file_that_is_cut_off_is_decoded_up_to_there(tmp_path, suffix, caplog):
    whole, data = read(example(suffix)), example(suffix).read_bytes()
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(data[: len(data) // 2])
    part = read(cut)
    assert part.samples.size == pytest.approx(whole.samples.size / 2, rel=0.1)
    if suffix in (".aac", ".flac", ".mp3"):
        samples, _ = decode(cut)
        assert samples.numel() == part.samples.size
        assert part.damage.startswith(("damaged after 1", "cut off after 1")) and part.damage in caplog.text


LYRICS = b"[00:01]La la \xff\xfb\x90\x00 la\r\n" * 40
APE = b"APETAGEX" + (2000).to_bytes(4, "little") + bytes(100) + LYRICS + b"APETAGEX" + bytes(24)
BESIDE_FRAMES = {
    "Lyrics3": b"LYRICSBEGIN" + LYRICS + b"LYRICSEND" + b"TAG" + bytes(125),
    "Lyrics3v2": b"LYRICSBEGININD0000210LYR01234" + LYRICS + b"001250LYRICS200" + b"TAG" + bytes(125),
    "Lyrics3 without ID3": b"LYRICSBEGIN" + LYRICS + b"LYRICSEND",
    "APE": APE,
    "APE and ID3": APE + b"TAG" + bytes(125),
    "ID3v2": b"ID3\x04\x00\x10\x00\x00\x09\x40" + LYRICS + b"3DI\x04\x00\x10\x00\x00\x09\x40",
    "padding": bytes(4000),
    "an answer of a server": b"<html>not found</html>" * 30,
}


@pytest.mark.parametrize("header", ["0", "1"])
@pytest.mark.parametrize("suffix", ["mp2", "mp3"])
def test_what_lies_after_the_frames_of_mpeg_audio_is_no_damage(tmp_path, suffix, header):
    path = encode(tmp_path / f"x.{suffix}", tune(1), **({"write_xing": header} if suffix == "mp3" else {}))
    whole, data = read(path), path.read_bytes()
    for name, content in BESIDE_FRAMES.items():
        path.write_bytes(data + content)
        found = read(path)
        assert found.damage is None, name
        # FFmpeg takes off the encoder's padding of an MP3 only where it knows the last packet.
        assert np.array_equal(found.samples[: whole.samples.size], whole.samples), name


def ape(value: bytes, version: int, header: bool) -> bytes:
    """An APE tag of one item."""
    item = len(value).to_bytes(4, "little") + bytes(4) + b"Cover Art\0" + value
    sizes = b"".join(number.to_bytes(4, "little") for number in (version, len(item) + 32, 1))
    ends = [b"APETAGEX" + sizes + flags.to_bytes(4, "little") + bytes(8) for flags in (5 << 29, int(header) << 31)]
    return (ends[0] if header else b"") + item + ends[1]


def id3v2(body: bytes) -> bytes:
    """An ID3v2 tag with a footer."""
    rest = b"\x04\x00\x10" + bytes(len(body) >> shift & 127 for shift in (21, 14, 7, 0))
    return b"ID3" + rest + body + b"3DI" + rest


def lyrics3(text: bytes) -> bytes:
    body = b"LYRICSBEGIN" + b"IND0000200LYR%05d" % len(text) + text
    return body + b"%06dLYRICS200" % len(body)


ID3V1 = b"TAG" + b"x" * 125
# What a tag may hold: frames of both kinds, and enough to be taken for a minute of them.
PICTURE = b"".join(start + bytes(range(1, 250)) * 2 for start in (b"\xff\xf1P\x80", b"\xff\xfb\x90\x64") * 150)
TAGS = {
    "ID3v1": ID3V1,
    "ID3v1 extended": b"TAG+" + b"y" * 223 + ID3V1,
    "APEv1": ape(b"x" * 90, 1000, header=False),
    "APEv2": ape(PICTURE, 2000, header=True),
    "APEv2 without a header": ape(PICTURE, 2000, header=False),
    "ID3v2": id3v2(PICTURE),
    "Lyrics3": b"LYRICSBEGIN" + LYRICS + b"LYRICSEND" + ID3V1,
    "Lyrics3v2": lyrics3(PICTURE[:99_000]) + ID3V1,
    "all": ape(PICTURE, 2000, header=True) + lyrics3(LYRICS) + ID3V1 + id3v2(PICTURE),
}


@pytest.mark.parametrize("suffix", ["aac", "mp2", "mp3"])
def test_tags_at_the_end_are_never_taken_for_audio(tmp_path, suffix):
    path = encode(tmp_path / f"x.{suffix}", tune(1))
    whole, data = read(path), path.read_bytes()
    for name, content in TAGS.items():
        path.write_bytes(data + content)
        found = read(path)
        assert found.damage is None and np.array_equal(found.samples, whole.samples), name
    path.write_bytes(ape(PICTURE, 2000, header=True) + data)
    assert suffix != "mp3" or np.array_equal(read(path).samples, whole.samples)
    path.write_bytes(TAGS["all"])
    with pytest.raises(AudioError, match=r"cannot be decoded|has no audio stream"):
        read(path)


def test_tags_at_the_end_are_still_read(tmp_path):
    path = encode(tmp_path / "x.mp3", tune(1), id3v2_version="0")
    path.write_bytes(path.read_bytes() + b"TAG" + b"A title".ljust(125, b"\0"))
    with opened(path) as source:
        assert source.tags["title"] == "A title"


def test_tags_between_songs_are_no_damage_and_anything_else_is(tmp_path):
    path = encode(tmp_path / "x.mp3", tune(2), write_xing="0", id3v2_version="0")
    whole, data = read(path), path.read_bytes()
    path.write_bytes(data + BESIDE_FRAMES["APE and ID3"] + data)
    assert read(path).damage is None and read(path).samples.size == pytest.approx(2 * whole.samples.size, abs=5000)
    path.write_bytes(data + BESIDE_FRAMES["an answer of a server"] + data)
    assert read(path).damage == "damaged after 2.0 s (what is there is no audio)"
    # As of a download that was never finished.
    path.write_bytes(data + bytes(400_000))
    assert read(path).damage == "damaged after 2.0 s (what follows is no audio)"


def test_damage_in_the_middle_costs_only_the_damaged_part(tmp_path):
    data = bytearray(example(".flac").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    (tmp_path / "x.flac").write_bytes(data)
    assert 0.95 < read(tmp_path / "x.flac").samples.size / read(example(".flac")).samples.size < 1


@pytest.mark.parametrize("rate", [8000, 192_000])
def test_rates_from_8_to_192_khz(tmp_path, rate):
    samples = read(encode(tmp_path / "x.flac", tune(1, rate), rate), 44_100).samples
    assert samples.size == pytest.approx(44_100, abs=2)


@pytest.mark.parametrize(("suffix", "error"), [("wav", 1e-4), ("flac", 1e-4), ("m4a", 0.4)])
def test_eight_channels_are_averaged(tmp_path, suffix, error):
    mean = (audio := tune(1, channels=8)).mean(axis=0)
    samples = read(encode(tmp_path / f"x.{suffix}", audio)).samples[:44_100]
    assert samples.std() == pytest.approx(mean.std(), rel=error)


def test_channels_may_change_within_a_song_but_a_new_rate_ends_it(tmp_path):
    parts = {}
    for name, channels, rate in (("a", 8, 44_100), ("b", 1, 44_100), ("c", 2, 48_000)):
        parts[name] = encode(tmp_path / f"{name}.aac", tune(2, rate, channels), rate).read_bytes()
    (tmp_path / "ab.aac").write_bytes(parts["a"] + parts["b"])
    assert read(tmp_path / "ab.aac").samples.size == pytest.approx(4 * 44_100, abs=6000)
    separately, _ = read_side("wet", tmp_path / "ab.aac", 44_100, None)
    assert np.allclose(separately, read(tmp_path / "ab.aac").samples, atol=0.02)
    (tmp_path / "bc.aac").write_bytes(parts["b"] + parts["c"])
    changed = read(tmp_path / "bc.aac")
    assert changed.samples.size == pytest.approx(2 * 44_100, abs=3000)
    assert "the sample rate changes to 48000 Hz" in changed.damage


@pytest.mark.parametrize("channels", [(1, 2), (2, 1), (2, 2)])
@pytest.mark.parametrize("suffix", ["aac", "ac3", "flac", "mp2", "mp3"])
def test_one_song_after_another_in_a_file_is_no_damage(tmp_path, suffix, channels):
    parts = [encode(tmp_path / f"{i}.{suffix}", tune(1, channels=c)) for i, c in enumerate(channels)]
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    whole = read(path)
    assert whole.damage is None and measure(path).damage is None
    assert whole.samples.size == pytest.approx(2 * 44_100, abs=4000)
    mono, _ = read_side("wet", path, 44_100, None)
    assert np.allclose(mono, whole.samples, atol=0.02)


def test_ogg_whose_channels_change_is_read_up_to_there(tmp_path):
    parts = [encode(tmp_path / f"{i}.ogg", tune(2, 48_000, c), 48_000) for i, c in enumerate((2, 1))]
    (tmp_path / "x.ogg").write_bytes(b"".join(part.read_bytes() for part in parts))
    found = read(tmp_path / "x.ogg")
    assert found.samples.size == 2 * 48_000 and "its format changes" in found.damage


def test_the_format_is_recognised_by_content_not_by_suffix(tmp_path):
    path = encode(tmp_path / "x.flac", tune(1))
    wrong = path.rename(tmp_path / "x.mp3")
    assert read(wrong).samples.size == 44_100


def tag(identifier: bytes, content: bytes) -> bytes:
    return identifier + len(content).to_bytes(4, "big") + bytes(2) + content


def with_tags(path: Path, *tags: bytes) -> None:
    """Put an ID3v2.3 header before a file."""
    body = b"".join(tags)
    size = bytes(len(body) >> shift & 127 for shift in (21, 14, 7, 0))
    path.write_bytes(b"ID3\x03\x00\x00" + size + body + path.read_bytes())


def test_cover_art_and_tags_in_an_unknown_code_do_not_matter(tmp_path):
    path = encode(tmp_path / "x.mp3", tune(2), write_xing="0", id3v2_version="0")
    before = read(path).samples
    picture = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20
    with_tags(path, tag(b"TIT2", b"\x03\xff\xfe\xe9 bad"), tag(b"APIC", b"\x00image/png\x00\x03\x00" + picture))
    with av.open(str(path), metadata_errors="replace") as container:
        assert len(container.streams.video) == 1
    assert np.array_equal(read(path).samples, before)


def test_a_protected_m4a_is_refused(tmp_path):
    path = encode(tmp_path / "x.m4a", tune(1))
    path.write_bytes(path.read_bytes().replace(b"mp4a", b"drms"))
    with pytest.raises(AudioError, match=r"x\.m4a: is protected"):
        read(path)


def test_a_scrambled_m4a_is_refused(tmp_path):
    path = encode(tmp_path / "x.m4a", tune(2))
    data = bytearray(path.read_bytes())
    start, size = data.index(b"mdat") + 4, len(data) // 2
    data[start : start + size] = np.random.default_rng(0).bytes(size)
    path.write_bytes(data)
    with pytest.raises(AudioError, match="most of it is damaged"):
        read(path)


@pytest.mark.parametrize("rate", [1, 1000, 4_000_000_000])
def test_a_rate_that_no_song_has_is_refused(tmp_path, rate):
    path = encode(tmp_path / "x.wav", tune(1))
    data = bytearray(path.read_bytes())
    data[24:28] = rate.to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(AudioError, match=r"x\.wav: "):
        read(path)


@pytest.mark.parametrize("name", ["a b.wav", "a\nb.wav", "-rf.wav", "http:x.wav", "%d.wav", b"caf\xe9.wav"])
def test_any_file_name_can_be_read(tmp_path, name):
    path = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), os.fsencode(name))))
    encode(tmp_path / "x.wav", tune(1)).rename(path)
    assert read(path).samples.size == 44_100
    shown = printable(path)
    assert shown.isprintable() and shown.encode() and shown.endswith(".wav")


def test_every_suffix_is_tested():
    assert {f".{suffix}" for suffix in ENCODERS} == {*SUFFIXES, *MORE}
    assert set(MORE) < set(READ_SUFFIXES) and not set(READ_SUFFIXES) & set(OTHER_SUFFIXES)


@pytest.mark.parametrize("suffix", MORE)
def test_formats_beside_the_seven_are_read(tmp_path, suffix):
    mean = (audio := tune(1, 48_000)).mean(axis=0)
    options = {"b": "128000"} if suffix == ".wma" else {}
    found = read(encode(tmp_path / f"x{suffix}", audio, 48_000, **options))
    assert found.samples.size == pytest.approx(48_000, abs=1300) and found.damage is None
    assert found.samples.std() == pytest.approx(mean.std(), rel=0.3)


@pytest.mark.parametrize("damage", [None, "damaged after 0.0 s"])
def test_bursts_count_as_noise_where_a_file_is_damaged_alone(tmp_path, damage):
    samples = 0.5 * np.ones(40_960, np.float32)
    samples[20_480] = 9.0
    path = tmp_path / "loud.wav"
    write_wav(path, torch.from_numpy(samples), 8000)
    with opened(path) as source:
        source.damage = damage
        found = np.concatenate([block for _, block in source.blocks()])
    assert found.max() == (9.0 if damage is None else 0.5)
    assert found.size == samples.size if damage is None else 30_000 < found.size < samples.size
