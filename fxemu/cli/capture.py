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
from fxemu.effects.capture_settings import FEWEST, parse_knobs, read_settings, settings_to_record, write_settings
from fxemu.effects.recorded_settings import TABLE
from fxemu.errors import check_sample_rate
from fxemu.files import printable, write_whole
from fxemu.library.pair import Pair
from fxemu.library.recordings.capture import REPEAT_S, make_signal, most_energetic, pairs_from_recording, read_signal
from fxemu.library.recordings.checks import db
from fxemu.library.recordings.files import read_side
from fxemu.library.recordings.split import MOST_SPLIT_IN_TIME
from fxemu.library.songs import LibraryError, Skipped, Song, choose, list_songs, read_songs, split_songs


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
            sub.add_argument("--knobs", help="of the box, with ranges, such as gain:0-10,tone:0-10: a file a setting")
            sub.add_argument("--settings", type=int, default=15, help="of the knobs, how many; one song each")
        if command is _read:
            words = "what came out of the box, begun before the file was played; with knobs, the folder of recordings"
            sub.add_argument("recording", type=Path, help=words)
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
    if given.knobs:
        _make_settings(given)
        return
    songs = _songs(given)
    minutes = _write_signal(given.file, songs, given)
    file = printable(given.file)
    print(f"{file}: {minutes:.1f} minutes. Play it through the box and record from before its start to after")
    print(f"its end, mono, at {given.sample_rate} Hz; then: fxemu capture read RECORDING --file {file}")


def _make_settings(given: argparse.Namespace) -> None:
    """Build a file to play for each setting of the box's knobs, and the table to follow."""
    settings = settings_to_record(parse_knobs(given.knobs), given.settings)
    songs, table, minutes = _songs(given), given.file.with_suffix(".csv"), {}
    for number, _ in enumerate(settings):
        file = given.file.with_name(f"{given.file.stem}-{number + 1:02}.wav")
        minutes[file.name] = _write_signal(file, [songs[number % len(songs)]], given)
    named = dict(zip(minutes, settings, strict=True))
    write_settings(table, named, {name: 60 * length for name, length in minutes.items()})
    print(table.read_text())
    place, length = printable(table), sum(minutes.values())
    print(f"{place}: {len(settings)} settings, {length:.1f} minutes. Dial each in, play its file through the box, and")
    print(f"record from before its start to after its end, mono, at {given.sample_rate} Hz, into a folder, under")
    print(f"the name of the file; then: fxemu capture read FOLDER --file {place}")


def _songs(given: argparse.Namespace) -> list[Song]:
    """Songs to play; LibraryError for fewer than three."""
    skipped = Skipped()
    paths = choose(list_songs(given.library), given.songs, seed=0)
    songs = read_songs(paths, given.sample_rate, int(REPEAT_S * given.sample_rate), skipped, given.library)
    if skipped:
        print(skipped, file=sys.stderr)
    if len(songs) < 3:
        found = f"{len(songs)} usable song(s)"
        raise LibraryError(f"{printable(given.library)}: {found}; at least 3 are needed, of {REPEAT_S:g} s or more")
    return songs


def _write_signal(file: Path, songs: list[Song], given: argparse.Namespace) -> float:
    """A file to play and its description; returns how long it is, in minutes."""
    signal, description = make_signal(songs, given.sample_rate, given.seconds)
    write_wav(file, signal, given.sample_rate)
    write_whole(file.with_suffix(".json"), f"{json.dumps(description, indent=2)}\n".encode())
    return signal.numel() / given.sample_rate / 60


def _read(given: argparse.Namespace) -> None:
    """Align and check a recording, and write its songs as pairs to train on; of a folder, those of each setting."""
    if given.recording.is_dir():
        _read_settings(given)
        return
    found, rate = _recorded(given.recording, given.file, given.force)
    songs = _named(found)
    _write_pairs(songs, rate, given.out)
    _tell(songs, rate, given.out)


def _read_settings(given: argparse.Namespace) -> None:
    """The recordings of a table of settings in a folder: pairs, and the `knobs.csv` beside them."""
    settings, pairs, rate = read_settings(given.file), {}, 0
    recordings = {path.stem: path for path in sorted(given.recording.iterdir()) if path.is_file()}
    there = [file for file in settings if Path(file).stem in recordings]
    if len(there) < FEWEST:
        raise LibraryError(
            f"{printable(given.recording)}: holds recordings of {len(there)} settings; at least {FEWEST} are needed, "
            "each under the name of the file that was played"
        )
    if missing := settings.keys() - set(there):
        print(f"without {', '.join(map(printable, sorted(missing)))}: there is no such recording")
    for file in there:
        print(printable(file))
        songs, rate = _recorded(recordings[Path(file).stem], given.file.with_name(Path(file).name), given.force)
        pairs |= {name: (song, settings[file]) for name, song in _named(songs, Path(file).stem).items()}
    _write_pairs({name: song for name, (song, _) in pairs.items()}, rate, given.out)
    write_settings(given.out / TABLE, {name: setting for name, (_, setting) in pairs.items()})
    spans = {name: [setting[name] for _, setting in pairs.values()] for name in next(iter(settings.values()))}
    knobs = ", ".join(f"{name}: [{min(x):g}, {max(x):g}]" for name, x in spans.items() if min(x) < max(x))
    _tell(list(pairs), rate, given.out, f' "knobs={{{knobs}}}"')


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
    songs = _named(_found(recording, signal, description, given.force))
    _write_pairs(songs, rate, given.out)
    _tell(songs, rate, given.out)


def _flat(song: str, taken: Collection[str]) -> str:
    """A file name for a song, whose own name is a path in the library: without folders, it can lead nowhere else."""
    stem = Path(song).with_suffix("").as_posix().replace("/", "-").replace("..", "-")
    names = (f"{stem}.wav", *(f"{stem}-{number}.wav" for number in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)


def _recorded(recording: Path, file: Path, force: bool) -> tuple[list[Pair], int]:
    """The pairs in a recording of a file, and their rate in Hz."""
    signal, description = read_signal(file)
    samples, notes = read_side("recording", recording, description["sample_rate"], None)
    for kind, text in notes:
        print(f"  {kind:<9}{text}")
    if any(kind == "refused" for kind, _ in notes) and not force:
        raise LibraryError("the recording was refused; mend the faults above, or use it anyway with --force")
    return _found(torch.from_numpy(samples), signal, description, force), description["sample_rate"]


def _found(recording: Tensor, signal: Tensor, description: dict[str, Any], force: bool) -> list[Pair]:
    songs, report = pairs_from_recording(recording, signal, description)
    print(report)
    if report.refused and not force:
        raise LibraryError("the recording was refused; mend the faults above, or use it anyway with --force")
    if not songs:
        raise LibraryError("no song can be found in the recording; mend the faults above")
    return songs


def _named(songs: list[Pair], name: str | None = None) -> dict[str, Pair]:
    """The pairs by the name of their files: of their songs, or `name` for all of them."""
    named: dict[str, Pair] = {}
    for song in songs:
        named[_flat(name or song.name, named)] = song
    return named


def _write_pairs(pairs: dict[str, Pair], rate: int, out: Path) -> None:
    others = {path.name for side in ("dry", "wet") for path in (out / side).glob("[!.]*")} - set(pairs)
    if others:
        held = f"{printable(out)}: holds {printable(min(others))} of another capture"
        raise LibraryError(f"{held}; choose another folder with --out")
    for name, pair in pairs.items():
        write_wav(out / "dry" / name, pair.dry, rate)
        write_wav(out / "wet" / name, pair.wet, rate)


def _tell(names: Collection[str], rate: int, out: Path, more: str = "") -> None:
    """Print how the pairs are split, and the command that trains on them."""
    # Fewer are split in time.
    for part, chosen in split_songs(list(names)).items() if len(names) > MOST_SPLIT_IN_TIME else ():
        print(f"  {part:<6}{', '.join(map(printable, chosen))}")
    place = f"dry={printable(out)}/dry wet={printable(out)}/wet data.sample_rate={rate}"
    print(f"{len(names)} pairs in {printable(out)}; train with: fxemu train effect=recorded {place}{more}")
