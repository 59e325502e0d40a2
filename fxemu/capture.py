"""`fxemu capture`: the file to play through a box of hardware, and the way back from its recording to pairs."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fxemu.alignment import correct
from fxemu.audio import AudioError, decode, write_wav
from fxemu.audio_device import DeviceError, play_and_record
from fxemu.files import write_whole
from fxemu.findings import Finding, Report, check_pair, db, dropouts
from fxemu.library import PARTS, LibraryError, Skipped, Song, choose, list_audio_files, read_songs, split_songs
from fxemu.recordings import Recording, longest_clean

LEVELS_DB = (-48, -42, -36, -30, -24, -18, -12, -6, 0)
VERSION = 1  # of the description
REPEAT_S, STEP_S, SWEEP_S, PAUSE_S = 3.0, 0.4, 3.0, 0.5
Section = tuple[str, str, Tensor]


def make(songs: list[Song], sample_rate: int, seconds_a_song: float) -> tuple[Tensor, dict[str, Any]]:
    """The signal to play (samples,), and what is where in it.

    Markers and a sweep to align by, noise in level steps, a passage played twice, and from each song its loudest
    `seconds_a_song`; with silence between.
    """
    passage = loudest(songs[0].dry, int(REPEAT_S * sample_rate))
    marker = 0.5 * sweep(0.1, 200, 8000, sample_rate)
    noise = torch.randn(int(STEP_S * sample_rate), generator=torch.Generator().manual_seed(0)) / 4
    sections: list[Section] = [("silence", "noise floor", torch.zeros(sample_rate)), ("marker", "first", marker)]
    sections.append(
        ("sweep", "20 Hz to 16 kHz", 0.25 * sweep(SWEEP_S, 20, min(16_000, sample_rate / 2.2), sample_rate))
    )
    sections += [("level", str(level), (noise * 10 ** (level / 20)).clamp(-1, 1)) for level in LEVELS_DB]
    sections += [("repeat", str(take), passage) for take in (1, 2)]
    sections += [("song", song.name, loudest(song.dry, int(seconds_a_song * sample_rate))) for song in songs]
    sections += [("marker", "last", marker), ("silence", "tail", torch.zeros(sample_rate))]
    pause, parts, places, start = torch.zeros(int(PAUSE_S * sample_rate)), [], [], 0
    for kind, name, samples in sections:
        places.append({"kind": kind, "name": name, "start": start, "samples": samples.numel()})
        parts += [samples, pause]
        start += samples.numel() + pause.numel()
    return torch.cat(parts), {"version": VERSION, "sample_rate": sample_rate, "samples": start, "sections": places}


def loudest(x: Tensor, samples: int) -> Tensor:
    """The stretch of x (N,) with the most energy, `samples` or N long."""
    samples = min(samples, x.numel())
    energy = torch.nn.functional.pad(x.double().square().cumsum(0), (1, 0))
    start = int((energy[samples:] - energy[:-samples]).argmax())
    return x[start : start + samples]


def sweep(seconds: float, low_hz: float, high_hz: float, sample_rate: int) -> Tensor:
    """A sine that rises exponentially from low_hz to high_hz, faded in and out over 5 ms (Farina 2000)."""
    t = torch.arange(int(seconds * sample_rate), dtype=torch.float64) / sample_rate
    rate = math.log(high_hz / low_hz)
    wave = torch.sin(2 * math.pi * low_hz * seconds / rate * torch.expm1(t / seconds * rate))
    return (wave * (torch.minimum(t, seconds - t) / 0.005).clamp(0, 1)).float()


def read(recording: Tensor, signal: Tensor, description: dict[str, Any]) -> tuple[list[Recording], Report]:
    """The songs as they came back through the box, aligned, less what a dropout took; and what was found.

    Args:
        recording: (samples,) at the capture's sample rate.
        signal: what was played.
        description: as `make` returned it.
    """
    rate, sections = description["sample_rate"], description["sections"]
    report = check_pair(signal, recording, rate)
    if report.alignment is None:
        return [], report
    place = report.alignment
    wet = correct(recording, place, signal.numel())
    recorded = int((recording.numel() - place.delay_samples) / (1 + place.drift_ppm * 1e-6))
    findings = [*report.findings, *_gains(signal, wet, sections)]
    last = [s for s in sections if s["kind"] == "marker"][-1]
    if recorded < last["start"] + last["samples"]:
        text = f"the recording ends at {recorded / rate:.1f} s, before the last marker: it is cut off; record it again"
        findings.append(Finding("refused", text))
    gaps = dropouts(signal, recording, place, rate)
    songs = []
    for section in sections:
        start, end = section["start"], min(section["start"] + section["samples"], recorded)
        if section["kind"] == "song" and start < end:
            first, end = longest_clean(start, end, gaps)
            songs.append(Recording(section["name"], signal[first:end], wet[first:end]))
    return songs, Report(tuple(findings), place)


def _gains(signal: Tensor, wet: Tensor, sections: list[dict[str, Any]]) -> Iterator[Finding]:
    gains = []
    for section in sections:
        if section["kind"] == "level":
            stretch = slice(section["start"], section["start"] + section["samples"])
            gains.append(f"{db(float(wet[stretch].norm() / signal[stretch].norm())):+.0f}")
    yield Finding(
        "note", f"gain for noise from {LEVELS_DB[0]} to {LEVELS_DB[-1]} dB in steps of 6: {' '.join(gains)} dB"
    )


def main(arguments: list[str]) -> None:
    """Dispatch make, read and play; errors of the user's are one line."""
    parser = argparse.ArgumentParser("fxemu capture", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command, words in (
        (_make, "build the file to play"),
        (_read, "take the recording back"),
        (_play, "do it live"),
    ):
        sub = commands.add_parser(command.__name__[1:], help=words, description=command.__doc__)
        sub.set_defaults(run=command)
        if command is _make:
            sub.add_argument("--library", default="examples", help="folder of songs")
            sub.add_argument("--songs", type=int, default=10, help="how many, at random; at least 3")
            sub.add_argument("--seconds", type=float, default=20.0, help="of each, the loudest stretch")
            sub.add_argument("--sample-rate", type=int, default=44_100, help="in Hz")
        if command is _read:
            sub.add_argument("recording", type=Path, help="what came out of the box, begun before the file was played")
        if command is _play:
            sub.add_argument("--device", help="audio interface, by number or part of its name")
        sub.add_argument("--file", type=Path, default=Path("capture.wav"), help="the file to play; .json beside it")
        if command is not _make:
            sub.add_argument("--out", type=Path, default=Path("captured"), help="folder for the pairs")
            sub.add_argument("--force", action="store_true", help="go on in spite of findings")
    given = parser.parse_args(arguments)
    try:
        if not given.file.name:
            raise LibraryError(f"--file: got {given.file}; give the name of the file to play")
        given.run(given)
    except (AudioError, LibraryError, DeviceError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def _make(given: argparse.Namespace) -> None:
    """Build the file to play through the box from your own songs, and a JSON that says what is where in it."""
    if given.songs < 3 or not 1 <= given.seconds <= 600 or not 8000 <= given.sample_rate <= 192_000:
        raise LibraryError("--songs must be at least 3, --seconds from 1 to 600, --sample-rate from 8000 to 192000")
    skipped = Skipped()
    paths = choose(list_audio_files(given.library), given.songs, seed=0)
    songs = read_songs(paths, given.sample_rate, int(REPEAT_S * given.sample_rate), skipped, given.library)
    if skipped:
        print(skipped, file=sys.stderr)
    if len(songs) < 3:
        raise LibraryError(f"{given.library}: {len(songs)} usable song(s); at least 3 of {REPEAT_S:g} s are needed")
    signal, description = make(songs, given.sample_rate, given.seconds)
    write_wav(given.file, signal, given.sample_rate)
    write_whole(given.file.with_suffix(".json"), f"{json.dumps(description, indent=2)}\n".encode())
    minutes = signal.numel() / given.sample_rate / 60
    print(f"{given.file}: {minutes:.1f} minutes. Play it through the box and record from before its start to after")
    print(f"its end, mono, at {given.sample_rate} Hz; then: fxemu capture read RECORDING --file {given.file}")


def _read(given: argparse.Namespace) -> None:
    """Align and check a recording, and write its songs as pairs to train on."""
    signal, description = _captured(given.file)
    recording, _ = decode(given.recording, description["sample_rate"])
    _take_back(recording, signal, description, given)


def _play(given: argparse.Namespace) -> None:
    """Play the file through an audio interface and record it, after a check of the level."""
    signal, description = _captured(given.file)
    rate = description["sample_rate"]
    trial = play_and_record(loudest(signal, 2 * rate), rate, given.device)
    peak = db(float(trial.abs().max()))
    print(f"level check: the loudest 2 s come back at {peak:.1f} dBFS")
    if not -40 < peak < -0.5:
        advice = "lower the interface's input gain" if peak > -40 else "raise it, and look at the cables"
        raise DeviceError(f"level: {peak:.1f} dBFS; must be from -40 to -0.5 dBFS: {advice}")
    recording = play_and_record(signal, rate, given.device)
    write_wav(given.out / "recording.wav", recording, rate)
    _take_back(recording, signal, description, given)


def _captured(file: Path) -> tuple[Tensor, dict[str, Any]]:
    """The file that was made and its description, checked against each other."""
    beside = file.with_suffix(".json")
    cure = f"give the file that was played with --file, its .json beside it, or run fxemu capture make --file {file}"
    try:
        description = json.loads(beside.read_text())
    except OSError as error:
        raise LibraryError(f"{beside}: {error.strerror}; {cure}") from error
    except ValueError as error:
        raise LibraryError(f"{beside}: is damaged, or no JSON ({error}); {cure}") from error
    fault = _fault(description)
    if fault:
        raise LibraryError(f"{beside}: is no description of a capture: {fault}; {cure}")
    rate, samples = description["sample_rate"], description["samples"]
    signal, _ = decode(file, rate)
    if signal.numel() != samples:
        got = f"lasts {signal.numel()} samples at {rate} Hz, but {beside} describes one of {samples}"
        raise LibraryError(f"{file}: {got}; {cure}")
    return signal, description


def _fault(description: Any) -> str:
    """How it differs from what `make` writes, in words; nothing where it does not."""
    expected = {"version": int, "sample_rate": int, "samples": int, "sections": list}
    section = {"kind": str, "name": str, "start": int, "samples": int}
    if not _holds(description, expected):
        keys = ", ".join(map(str, description)) if isinstance(description, dict) else type(description).__name__
        return f"got {keys[:80] or 'nothing'}; must hold {', '.join(expected)}"
    if description["version"] != VERSION:
        return f"got version {description['version']}; must be {VERSION}"
    if not 8000 <= description["sample_rate"] <= 192_000:
        return f"got a sample_rate of {description['sample_rate']}; must be from 8000 to 192000"
    total = description["samples"]
    for place in description["sections"]:
        if not _holds(place, section) or not 0 <= place["start"] < place["start"] + place["samples"] <= total:
            return f"got the section {str(place)[:80]}; must hold {', '.join(section)}, and lie within the file"
        if place["kind"] == "song" and not Path(place["name"]).name:
            return f"got a song with the name {place['name']!r}"
    missing = {"marker", "song"} - {place["kind"] for place in description["sections"]}
    return f"got no section that is a {' or a '.join(sorted(missing))}" if missing else ""


def _holds(value: Any, kinds: dict[str, type]) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(key), kind) for key, kind in kinds.items())


def _flat(song: str, taken: Collection[str]) -> str:
    """A file's name for a song, whose own is a path in the library: made flat, it can lead nowhere else."""
    stem = Path(song).with_suffix("").as_posix().replace("/", "-").replace("..", "-")
    names = (f"{stem}.wav", *(f"{stem}-{number}.wav" for number in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)


def _take_back(recording: Tensor, signal: Tensor, description: dict[str, Any], given: argparse.Namespace) -> None:
    songs, report = read(recording, signal, description)
    print(report)
    if report.refused and not given.force:
        raise LibraryError("the recording was refused; mend what is said above, or go on all the same with --force")
    if not songs:
        raise LibraryError("no song can be found in the recording; mend what is said above")
    names: list[str] = []
    for song in songs:
        names.append(_flat(song.name, names))
    others = {path.name for side in ("dry", "wet") for path in (given.out / side).glob("[!.]*")} - set(names)
    if others:
        raise LibraryError(f"{given.out}: holds {min(others)} of another capture; choose another folder with --out")
    for name, song in zip(names, songs, strict=True):
        write_wav(given.out / "dry" / name, song.dry, description["sample_rate"])
        write_wav(given.out / "wet" / name, song.wet, description["sample_rate"])
    # Fewer are split in time.
    for part, chosen in split_songs(names).items() if len(names) >= len(PARTS) else ():
        print(f"  {part:<6}{', '.join(chosen)}")
    place = f"dry={given.out}/dry wet={given.out}/wet data.sample_rate={description['sample_rate']}"
    print(f"{len(songs)} pairs in {given.out}; train with: fxemu train effect=recorded {place}")
