"""A test signal to play through hardware, and its recording turned into pairs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fxemu.audio.tensors import decode
from fxemu.errors import SAMPLE_RATES_HZ
from fxemu.files import parse_json, printable
from fxemu.library.pair import Pair
from fxemu.library.recordings.alignment import correct
from fxemu.library.recordings.checks import Finding, PairReport, check_pair, db
from fxemu.library.recordings.gaps import dropouts
from fxemu.library.recordings.pairs import clean
from fxemu.library.songs import LibraryError, Song

LEVELS_DB = (-48, -42, -36, -30, -24, -18, -12, -6, 0)
VERSION = 1  # of the description
REPEAT_S, STEP_S, SWEEP_S, PAUSE_S = 3.0, 0.4, 3.0, 0.5
LEAST_S = 0.5  # of a stretch of a song between dropouts that is kept
Section = tuple[str, str, Tensor]


def make_signal(songs: list[Song], sample_rate: int, seconds_a_song: float) -> tuple[Tensor, dict[str, Any]]:
    """The signal to play (samples,), and a description of its sections.

    Sections are markers and a sweep for alignment, noise in level steps, a passage played twice, and the loudest
    `seconds_a_song` of each song, with silence between.
    """
    passage = most_energetic(songs[0].dry, int(REPEAT_S * sample_rate))
    marker = 0.5 * sweep(0.1, 200, 8000, sample_rate)
    noise = torch.randn(int(STEP_S * sample_rate), generator=torch.Generator().manual_seed(0)) / 4
    sections: list[Section] = [("silence", "noise floor", torch.zeros(sample_rate)), ("marker", "first", marker)]
    sections.append(
        ("sweep", "20 Hz to 16 kHz", 0.25 * sweep(SWEEP_S, 20, min(16_000, sample_rate / 2.2), sample_rate))
    )
    sections += [("level", str(level), (noise * 10 ** (level / 20)).clamp(-1, 1)) for level in LEVELS_DB]
    sections += [("repeat", str(take), passage) for take in (1, 2)]
    sections += [("song", song.name, most_energetic(song.dry, int(seconds_a_song * sample_rate))) for song in songs]
    sections += [("marker", "last", marker), ("silence", "tail", torch.zeros(sample_rate))]
    pause, parts, places, start = torch.zeros(int(PAUSE_S * sample_rate)), [], [], 0
    for kind, name, samples in sections:
        places.append({"kind": kind, "name": name, "start": start, "samples": samples.numel()})
        parts += [samples, pause]
        start += samples.numel() + pause.numel()
    return torch.cat(parts), {"version": VERSION, "sample_rate": sample_rate, "samples": start, "sections": places}


def most_energetic(x: Tensor, samples: int) -> Tensor:
    """The stretch of x (N,) with the most energy, of `samples`, or all of x if that is shorter."""
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


def pairs_from_recording(
    recording: Tensor, signal: Tensor, description: dict[str, Any]
) -> tuple[list[Pair], PairReport]:
    """The songs of a capture as aligned pairs, cut at dropouts; and the report on the recording.

    Args:
        recording: (samples,) at the capture's sample rate.
        signal: the signal that was played.
        description: its description from `make_signal`.
    """
    rate, sections = description["sample_rate"], description["sections"]
    report = check_pair(signal, recording, rate)
    if report.alignment is None:
        return [], report
    place = report.alignment
    wet = correct(recording, place, signal.numel())
    recorded = int((recording.numel() - place.delay_samples) / (1 + place.drift_ppm * 1e-6))
    findings = [*report.findings, _gains(signal, wet, sections)]
    last = [s for s in sections if s["kind"] == "marker"][-1]
    if recorded < last["start"] + last["samples"]:
        text = f"the recording ends at {recorded / rate:.1f} s, before the last marker: it is cut off; record it again"
        findings.append(Finding("refused", text))
    gaps = dropouts(signal, recording, place, rate)
    songs = []
    for section in sections:
        start, end = section["start"], min(section["start"] + section["samples"], recorded)
        if section["kind"] == "song" and start < end:
            for first, stop in clean(start, end, gaps):
                if stop - first < LEAST_S * rate:
                    continue
                songs.append(Pair(section["name"], signal[first:stop], wet[first:stop]))
    return songs, PairReport(tuple(findings), place)


def _gains(signal: Tensor, wet: Tensor, sections: list[dict[str, Any]]) -> Finding:
    """The note on the gain for noise at each level."""
    gains = []
    for section in sections:
        if section["kind"] == "level":
            stretch = slice(section["start"], section["start"] + section["samples"])
            gains.append(f"{db(float(wet[stretch].norm() / signal[stretch].norm())):+.0f}")
    return Finding(
        "note", f"gain for noise from {LEVELS_DB[0]} to {LEVELS_DB[-1]} dB in steps of 6: {' '.join(gains)} dB"
    )


def read_signal(file: Path) -> tuple[Tensor, dict[str, Any]]:
    """Read a signal of `make_signal` and its description beside it, checked against each other.

    Raises:
        LibraryError: where the description is missing, damaged, or of another signal.
    """
    place, beside = printable(file), printable(file.with_suffix(".json"))
    cure = f"give the file that was played with --file, its .json beside it, or run fxemu capture make --file {place}"
    try:
        description = parse_json(file.with_suffix(".json").read_bytes())
    except OSError as error:
        raise LibraryError(f"{beside}: {error.strerror}; {cure}") from error
    except ValueError as error:
        raise LibraryError(f"{beside}: {error}; {cure}") from error
    fault = _description_fault(description)
    if fault:
        raise LibraryError(f"{beside}: is no description of a capture: {fault}; {cure}")
    rate, samples = description["sample_rate"], description["samples"]
    signal, _ = decode(file, rate)
    if signal.numel() != samples:
        got = f"lasts {signal.numel()} samples at {rate} Hz, but {beside} describes one of {samples}"
        raise LibraryError(f"{place}: {got}; {cure}")
    return signal, description


def _description_fault(description: Any) -> str:
    """The first fault of a description, in words; empty for one as `make_signal` returns it."""
    expected = {"version": int, "sample_rate": int, "samples": int, "sections": list}
    section = {"kind": str, "name": str, "start": int, "samples": int}
    if not _has_keys(description, expected):
        keys = ", ".join(map(str, description)) if isinstance(description, dict) else type(description).__name__
        return f"got {keys[:80] or 'nothing'}; must hold {', '.join(expected)}"
    if description["version"] != VERSION:
        return f"got version {description['version']}; must be {VERSION}"
    low, high = SAMPLE_RATES_HZ
    if not low <= description["sample_rate"] <= high:
        return f"got a sample_rate of {description['sample_rate']}; must be from {low} to {high}"
    total = description["samples"]
    for place in description["sections"]:
        if not _has_keys(place, section) or not 0 <= place["start"] < place["start"] + place["samples"] <= total:
            return f"got the section {str(place)[:80]}; must hold {', '.join(section)}, and lie within the file"
        if place["kind"] == "song" and not Path(place["name"]).name:
            return f"got a song with the name {place['name']!r}"
    missing = {"marker", "song"} - {place["kind"] for place in description["sections"]}
    return f"got no section that is a {' or a '.join(sorted(missing))}" if missing else ""


def _has_keys(value: Any, kinds: dict[str, type]) -> bool:
    """Whether a value is a dict with keys of these types."""
    return isinstance(value, dict) and all(isinstance(value.get(key), kind) for key, kind in kinds.items())
