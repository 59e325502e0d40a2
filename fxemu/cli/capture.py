"""`fxemu capture`: make a test signal to play through hardware, and turn its recording into pairs to train on."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fxemu.audio.device import DeviceError, play_and_record
from fxemu.audio.tensors import write_wav
from fxemu.cli.errors import one_line_errors
from fxemu.errors import check_sample_rate
from fxemu.files import printable, write_whole
from fxemu.library.recordings.capture import REPEAT_S, make_signal, most_energetic, pairs_from_recording, read_signal
from fxemu.library.recordings.checks import db
from fxemu.library.recordings.files import read_side
from fxemu.library.recordings.split import MOST_SPLIT_IN_TIME
from fxemu.library.songs import LibraryError, Skipped, choose, list_songs, read_songs, split_songs


@one_line_errors()
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
            sub.add_argument("--force", action="store_true", help="use also a recording that the checks refuse")
    given = parser.parse_args(arguments)
    if not given.file.name:
        raise LibraryError(f"--file: got {printable(given.file)}; give the name of the file to play")
    given.run(given)


def _make(given: argparse.Namespace) -> None:
    """Build the file to play through the box from your own songs, and a JSON file that lists what is where in it."""
    check_sample_rate("--sample-rate", given.sample_rate)
    if given.songs < 3 or not 1 <= given.seconds <= 600:
        raise LibraryError("--songs must be at least 3, --seconds from 1 to 600")
    skipped = Skipped()
    paths = choose(list_songs(given.library), given.songs, seed=0)
    songs = read_songs(paths, given.sample_rate, int(REPEAT_S * given.sample_rate), skipped, given.library)
    if skipped:
        print(skipped, file=sys.stderr)
    if len(songs) < 3:
        found = f"{len(songs)} usable song(s)"
        raise LibraryError(f"{printable(given.library)}: {found}; at least 3 of {REPEAT_S:g} s are needed")
    signal, description = make_signal(songs, given.sample_rate, given.seconds)
    write_wav(given.file, signal, given.sample_rate)
    write_whole(given.file.with_suffix(".json"), f"{json.dumps(description, indent=2)}\n".encode())
    minutes = signal.numel() / given.sample_rate / 60
    file = printable(given.file)
    print(f"{file}: {minutes:.1f} minutes. Play it through the box and record from before its start to after")
    print(f"its end, mono, at {given.sample_rate} Hz; then: fxemu capture read RECORDING --file {file}")


def _read(given: argparse.Namespace) -> None:
    """Align and check a recording, and write its songs as pairs to train on."""
    signal, description = read_signal(given.file)
    samples, notes = read_side("recording", given.recording, description["sample_rate"], None)
    for kind, text in notes:
        print(f"  {kind:<9}{text}")
    if any(kind == "refused" for kind, _ in notes) and not given.force:
        raise LibraryError("the recording was refused; mend the faults above, or use it anyway with --force")
    _take_back(torch.from_numpy(samples), signal, description, given)


def _play(given: argparse.Namespace) -> None:
    """Play the file through an audio interface and record it, after a check of the level."""
    signal, description = read_signal(given.file)
    rate = description["sample_rate"]
    trial = play_and_record(most_energetic(signal, 2 * rate), rate, given.device)
    peak = db(float(trial.abs().max()))
    print(f"level check: the loudest 2 s come back at {peak:.1f} dBFS")
    if not -40 < peak < -0.5:
        advice = "lower the interface's input gain" if peak > -40 else "raise it, and look at the cables"
        raise DeviceError(f"level: {peak:.1f} dBFS; must be from -40 to -0.5 dBFS: {advice}")
    recording = play_and_record(signal, rate, given.device)
    write_wav(given.out / "recording.wav", recording, rate)
    _take_back(recording, signal, description, given)


def _flat(song: str, taken: Collection[str]) -> str:
    """A file name for a song, whose own name is a path in the library: without folders, it can lead nowhere else."""
    stem = Path(song).with_suffix("").as_posix().replace("/", "-").replace("..", "-")
    names = (f"{stem}.wav", *(f"{stem}-{number}.wav" for number in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)


def _take_back(recording: Tensor, signal: Tensor, description: dict[str, Any], given: argparse.Namespace) -> None:
    songs, report = pairs_from_recording(recording, signal, description)
    print(report)
    if report.refused and not given.force:
        raise LibraryError("the recording was refused; mend the faults above, or use it anyway with --force")
    if not songs:
        raise LibraryError("no song can be found in the recording; mend the faults above")
    names: list[str] = []
    for song in songs:
        names.append(_flat(song.name, names))
    others = {path.name for side in ("dry", "wet") for path in (given.out / side).glob("[!.]*")} - set(names)
    if others:
        held = f"{printable(given.out)}: holds {printable(min(others))} of another capture"
        raise LibraryError(f"{held}; choose another folder with --out")
    for name, song in zip(names, songs, strict=True):
        write_wav(given.out / "dry" / name, song.dry, description["sample_rate"])
        write_wav(given.out / "wet" / name, song.wet, description["sample_rate"])
    # Fewer are split in time.
    for part, chosen in split_songs(names).items() if len(names) > MOST_SPLIT_IN_TIME else ():
        print(f"  {part:<6}{', '.join(map(printable, chosen))}")
    out = printable(given.out)
    place = f"dry={out}/dry wet={out}/wet data.sample_rate={description['sample_rate']}"
    print(f"{len(songs)} pairs in {out}; train with: fxemu train effect=recorded {place}")
