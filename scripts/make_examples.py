"""Render the example music library: 14 short songs in seven formats, synthesised from scratch.

Nothing is downloaded or sampled: every sound is computed here from numpy arrays, and every random
number comes from a seed made from the song's file name, so two runs on one machine write the same
bytes. Run `python scripts/make_examples.py` to write the songs into the `examples` folder.

A song is a function that plays parts on a `Band`. Parts are written as text (see `phrase` and
`steps`), instruments are functions from a `Tone` to an array of samples, and the table `SONGS`
says how each song is recorded.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from scipy import signal

Audio = NDArray[np.float64]  # (samples,) or (channels, samples); full scale is 1.0

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
NOISE_FLOOR_DB = -80.0  # the hiss that any real recording has
FORMATS = {  # file name suffix: container and audio codec, as FFmpeg calls them
    ".mp3": ("mp3", "libmp3lame"),
    ".m4a": ("ipod", "aac"),
    ".mp4": ("mp4", "aac"),
    ".aac": ("adts", "aac"),
    ".ogg": ("ogg", "vorbis"),
    ".wav": ("wav", "pcm_s16le"),
    ".flac": ("flac", "flac"),
}
SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11, "#": 1, "b": -1}
OPEN_STRINGS = (40, 45, 50, 55, 59, 64)  # a guitar's E A D G B E, as MIDI numbers
VOWELS_HZ = (  # resonances of a singer's mouth in "a", "e", "o" and "u"
    (700, 1150, 2500, 3400),
    (450, 1850, 2500, 3400),
    (430, 800, 2500, 3300),
    (330, 700, 2400, 3200),
)


# --- Notation -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Note:
    """One written note. Times are in beats, pitches in MIDI numbers, velocity runs from 0 to 1."""

    start: float
    length: float
    pitch: float
    velocity: float
    bend: float = 0.0  # where the pitch comes from, in semitones relative to `pitch`
    strum: int = 0  # place in the chord's strum: 0 sounds first


def midi_number(name: str) -> int:
    """Return the MIDI number of a pitch such as `C4` (60) or `F#2`."""
    return 12 * (int(name[-1]) + 1) + sum(SEMITONES[letter] for letter in name[:-1])


def chord(name: str) -> list[tuple[int, int]]:
    """Return (pitch, bend) of each note in `E3`, `C4+E4+G4`, `D5/E5` (a bend), `x02210` or `-`."""
    if len(name) == 6 and set(name) <= set("x0123456789"):  # guitar frets, low string first
        frets = zip(OPEN_STRINGS, name, strict=True)
        return [(string + int(fret), 0) for string, fret in frets if fret != "x"]
    ends = [pitch.split("/") for pitch in name.split("+") if pitch != "-"]
    return [(midi_number(end[-1]), midi_number(end[0]) - midi_number(end[-1])) for end in ends]


def phrase(text: str, start: float = 0.0, velocity: float = 0.65, ring: float = 0.0, transpose: int = 0) -> list[Note]:
    """Read a melody: tokens `chord:beats`, where the last length given holds until the next.

    A trailing `!` accents, `?` plays softly and `^` strums upwards; `|` is a bar line, for the eye.
    `start` and `ring` (how long strings sound on) are in beats, `transpose` in semitones.
    """
    notes, length = [], 1.0
    for token in text.replace("|", " ").split():
        body = token.rstrip("!?^")
        marks = token.removeprefix(body)
        name, _, beats = body.partition(":")
        length = float(beats or length)
        loudness = velocity * (1.4 if "!" in marks else 0.55 if "?" in marks else 1.0)
        pitches = chord(name)[:: -1 if "^" in marks else 1]
        loudness /= max(1, len(pitches)) ** 0.2  # a stroke shares its force among the strings
        for strum, (pitch, bend) in enumerate(pitches):
            notes.append(Note(start, length + ring, pitch + transpose, loudness, bend, strum))
        start += length
    return notes


def pick(shape: str, strings: str) -> str:
    """Return `phrase` text that picks strings of a chord in eighths: `1` to `6`, `b` the lowest."""
    bass = str(len(shape.lstrip("x")))
    groups = strings.replace("b", bass).split()
    masks = [[f if str(6 - i) in group else "x" for i, f in enumerate(shape)] for group in groups]
    return " ".join("".join(mask) + ":.5" for mask in masks)


def steps(text: str, start: float = 0.0, velocity: float = 0.65, pitch: float = 31) -> list[Note]:
    """Read a drum part in sixteenths: `X` accent, `x` hit, `o` ghost note, `.` rest, `|` bar."""
    gains = {"X": 1.4, "x": 1.0, "o": 0.4}
    hits = enumerate(text.replace("|", ""))
    return [Note(start + i / 4, 0.25, pitch, velocity * gains[c]) for i, c in hits if c in gains]


def swell(notes: list[Note], first: float, last: float) -> list[Note]:
    """Scale velocities along a straight line, from `first` at the first note to `last`."""
    ends = [notes[0].start, notes[-1].start]
    gains = np.interp([note.start for note in notes], ends, [first, last])
    return [replace(n, velocity=n.velocity * g) for n, g in zip(notes, gains, strict=True)]


# --- Instruments --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tone:
    """What a player asks of an instrument: one note in physical units."""

    pitch_hz: float
    length_s: float
    velocity: float
    bend: float  # semitones, see `Note`
    rate_hz: int
    rng: np.random.Generator

    def time_s(self, duration_s: float) -> Audio:
        """Return sample times (samples,) from 0 to `duration_s`."""
        return np.arange(int(duration_s * self.rate_hz)) / self.rate_hz

    def noise(self, time_s: Audio) -> Audio:
        """Return white noise (samples,) of variance 1."""
        return self.rng.standard_normal(len(time_s))

    def envelope(self, time_s: Audio, attack_s: float, release_s: float) -> Audio:
        """Return (samples,) loudness: a rise, a hold for the note's length, an exponential end."""
        rise = np.minimum(time_s / attack_s, 1.0)
        return rise * np.exp(-np.maximum(time_s - self.length_s, 0) / release_s)

    def harmonics(self) -> Audio:
        """Return the numbers (harmonics,) of all harmonics below the Nyquist frequency."""
        return np.arange(1, max(2, 0.48 * self.rate_hz / self.pitch_hz))


Instrument = Callable[[Tone], Audio]


def unit(audio: Audio) -> Audio:
    """Scale audio of any shape to a peak of 1."""
    return audio / np.max(np.abs(audio))


def oscillator(phase: Audio, amplitudes: Audio) -> Audio:
    """Return (samples,) of a wave with given harmonic amplitudes; `phase` (samples,) is in cycles.

    Reading one cycle from a table stays free of aliasing and costs the same for any harmonics.
    """
    size = 4096
    cycle = np.fft.irfft(-1j * np.concatenate([[0], amplitudes]), size)
    return np.interp(phase, np.arange(size) / size, cycle, period=1)


def pluck(
    tone: Tone,
    decay_s: float = 6.0,
    bright_s: float = 1.0,
    pick_hz: float = 4000.0,
    release_s: float = 0.04,
) -> Audio:
    """Karplus-Strong string: a pick's pulse goes round a delay of one period and loses treble.

    `decay_s` and `bright_s` are the times in which low partials and those at 5 kHz fall by 60 dB;
    a harder pick excites more above `pick_hz`. Returns (samples,).
    """
    time_s = tone.time_s(tone.length_s + 7 * release_s)
    period = tone.rate_hz / tone.pitch_hz
    # Four Lagrange taps delay by a fraction of a sample (1 to 2), so that the string is in tune.
    whole = int(period - 2)
    fraction = period - 1 - whole
    taps = [np.prod([(fraction - j) / (k - j) for j in range(4) if j != k]) for k in range(4)]
    treble_gain = 10 ** (-3 / (tone.pitch_hz * bright_s))
    loss = min(0.25, (1 - treble_gain) / (2 - 2 * np.cos(2 * np.pi * 5000 / tone.rate_hz)))
    loop = 10 ** (-3 / (tone.pitch_hz * decay_s)) * np.convolve(taps, [loss, 1 - 2 * loss, loss])
    # A pickup hears velocity: a pulse as wide as the way from bridge to pick, which soon comes back
    # from the bridge upside down, plus the rasp of the pick.
    pulse = 1.0 * (np.arange(int(period)) < period * tone.rng.uniform(0.11, 0.2))
    blow = np.zeros_like(time_s)
    blow[: len(pulse)] = pulse - np.roll(pulse, int(0.3 * period)) + 0.15 * tone.noise(pulse)
    smooth = np.exp(-2 * np.pi * pick_hz * (0.2 + tone.velocity) / tone.rate_hz)
    blow = signal.lfilter([1 - smooth], [1, -smooth], blow)
    string = signal.lfilter([1], np.concatenate([[1], np.zeros(whole - 1), -loop]), blow)
    return unit(string) * tone.envelope(time_s, 1e-4, release_s)


muted_guitar = partial(pluck, decay_s=0.6, bright_s=0.12, pick_hz=3000.0, release_s=0.02)
scratch_guitar = partial(pluck, decay_s=0.1, bright_s=0.06, pick_hz=9000.0, release_s=0.01)
nylon_guitar = partial(pluck, decay_s=4.0, bright_s=0.4, pick_hz=2000.0, release_s=0.12)
steel_guitar = partial(pluck, decay_s=5.0, bright_s=1.4, pick_hz=8000.0, release_s=0.12)
finger_bass = partial(pluck, decay_s=7.0, bright_s=0.3, pick_hz=800.0, release_s=0.05)
pick_bass = partial(pluck, decay_s=6.0, bright_s=0.8, pick_hz=3000.0)


def lead_guitar(tone: Tone) -> Audio:
    """A plucked string whose pitch bends in and then trembles, by reading it unevenly in time."""
    string = pluck(tone, decay_s=9.0, bright_s=1.6, release_s=0.08)
    time_s = np.arange(len(string)) / tone.rate_hz
    bent = tone.bend * (0.5 + 0.5 * np.cos(np.pi * np.clip((time_s - 0.04) / 0.16, 0, 1)))
    vibrato = 0.3 * np.clip((time_s - 0.35) / 0.5, 0, 1) * np.sin(2 * np.pi * 5.3 * time_s)
    position_s = np.cumsum(2 ** ((bent + vibrato) / 12)) / tone.rate_hz
    return np.interp(position_s, time_s, string, right=0.0)


def electric_piano(tone: Tone) -> Audio:
    """Two FM pairs: a reed that barks when hit hard, and the short ping of its tine."""
    time_s = tone.time_s(tone.length_s + 0.8)
    turn = 2 * np.pi * tone.pitch_hz * time_s
    bark = 2.5 * tone.velocity * np.exp(-time_s / 0.6)
    body = np.sin(turn + bark * np.sin(turn)) * np.exp(-time_s * tone.pitch_hz / 250)
    ping_ratio = min(14, int(9000 / tone.pitch_hz))
    ping = np.sin(turn + 0.9 * np.sin(ping_ratio * turn)) * np.exp(-time_s / 0.12)
    return (body + 0.5 * tone.velocity * ping) * tone.envelope(time_s, 0.002, 0.1)


def pad(tone: Tone, attack_s: float = 1.0, cutoff_hz: float = 2200.0) -> Audio:
    """Detuned saws through a gentle lowpass that opens with velocity: a string section or synth."""
    time_s = tone.time_s(tone.length_s + 2.8)
    number = tone.harmonics()
    rolloff = 1 + (number * tone.pitch_hz / (cutoff_hz * (0.2 + tone.velocity))) ** 2
    audio = np.zeros_like(time_s)
    for cents in (-7, -2, 3, 8):
        wander = tone.rng.uniform(0.5, 2) * np.sin(time_s * tone.rng.uniform(1, 3))  # in cents
        phase = np.cumsum(tone.pitch_hz * 2 ** ((cents + wander) / 1200)) / tone.rate_hz
        audio += oscillator(phase + tone.rng.random(), 1 / (number * rolloff))
    return unit(audio) * tone.envelope(time_s, attack_s, 0.5)


def voice(tone: Tone) -> Audio:
    """A singer: a buzzing source with vibrato and breath, moving from one vowel to another."""
    time_s = tone.time_s(tone.length_s + 0.5)
    vibrato = 0.35 * np.clip(time_s / 0.6 - 0.4, 0, 1) * np.sin(2 * np.pi * 5.6 * time_s)
    scoop = -1.2 * np.exp(-time_s / 0.05)  # singers slide up into a note
    phase = np.cumsum(tone.pitch_hz * 2 ** ((vibrato + scoop) / 12)) / tone.rate_hz
    source = unit(oscillator(phase, tone.harmonics() ** -1.1)) + 0.03 * tone.noise(time_s)
    moving = np.clip(time_s / (0.8 * tone.length_s), 0, 1)
    audio = np.zeros_like(time_s)
    first, last = tone.rng.permutation(VOWELS_HZ)[:2]
    for vowel_hz, share in ((first, 1 - moving), (last, moving)):
        for formant_hz, level in zip(vowel_hz, (1.0, 0.6, 0.4, 0.3), strict=True):
            resonance = signal.iirpeak(formant_hz, formant_hz / 110, fs=tone.rate_hz)
            audio += level * share * signal.lfilter(*resonance, source)
    return unit(audio) * tone.envelope(time_s, 0.06, 0.07)


def bell(tone: Tone, decay_s: float = 2.5) -> Audio:
    """A struck bar: inharmonic partials, of which the higher ones die away sooner."""
    time_s = tone.time_s(1.5 * decay_s)
    audio = 0.3 * tone.noise(time_s) * np.exp(-time_s / 0.004)  # the mallet
    for ratio in (1.0, 2.76, 5.4, 8.93):
        decay = np.exp(-7 * time_s * ratio**0.7 / decay_s)
        level = tone.velocity ** (ratio / 3) / ratio
        audio += level * np.sin(2 * np.pi * ratio * tone.pitch_hz * time_s) * decay
    return unit(audio)


marimba = partial(bell, decay_s=0.7)


def kick(tone: Tone, slack: float = 0.08, decay_s: float = 0.12) -> Audio:
    """A drum: two modes of a skin that slackens after the hit, and the noise of the beater."""
    time_s = tone.time_s(6 * decay_s)
    phase = tone.pitch_hz * (time_s + slack * (1 - np.exp(-time_s / 0.03)))
    skin = np.sin(2 * np.pi * phase) + 0.3 * np.sin(2 * np.pi * 1.59 * phase)
    beater = tone.noise(time_s) * np.exp(-time_s / 0.006)
    return 0.8 * skin * np.exp(-time_s / decay_s) + 0.25 * beater


tom = partial(kick, slack=0.015, decay_s=0.2)


def snare(tone: Tone, rattle_s: float = 0.09) -> Audio:
    """A snare drum: two skin modes and the noise of the wires, brighter when hit harder."""
    time_s = tone.time_s(8 * rattle_s)
    skin = np.sin(2 * np.pi * 188 * time_s) + 0.6 * np.sin(2 * np.pi * 332 * time_s)
    band_hz = [700, min(5000 + 9000 * tone.velocity, 0.45 * tone.rate_hz)]
    wires = signal.butter(1, band_hz, "bandpass", fs=tone.rate_hz)
    rattle = signal.lfilter(*wires, tone.noise(time_s)) * np.exp(-time_s / rattle_s)
    return unit(skin * np.exp(-time_s / 0.05) + 0.9 * rattle)


def cymbal(tone: Tone, decay_s: float = 0.05, lowest_hz: float = 6500.0) -> Audio:
    """A plate: clashing square waves and noise above `lowest_hz`; a short `decay_s` is a hi-hat."""
    time_s = tone.time_s(7 * decay_s)
    clash_hz = np.array([[2050], [3020], [3690], [4130], [5220], [8000]]) * tone.rng.normal(1, 0.01)
    plate = np.sum(np.sign(np.sin(2 * np.pi * clash_hz * time_s)), axis=0) / 5
    highpass = signal.butter(2, lowest_hz, "highpass", fs=tone.rate_hz)
    return unit(signal.lfilter(*highpass, plate + tone.noise(time_s))) * np.exp(-time_s / decay_s)


open_hat = partial(cymbal, decay_s=0.22)
ride = partial(cymbal, decay_s=0.35, lowest_hz=4500.0)
crash = partial(cymbal, decay_s=0.9, lowest_hz=2500.0)
brush = partial(snare, rattle_s=0.04)


# --- Recording ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Song:
    """How one song is recorded: `drive_db` of soft clipping glues a dense mix together."""

    path: str
    score: Callable[["Band"], None]
    tempo_bpm: float
    length_s: float
    peak_db: float
    rate_hz: int
    channels: int = 2
    reverb_s: float = 0.8  # the time in which the room's reverb falls by 60 dB
    swing: float = 0.0  # how late off-beat eighths are, as a part of a beat
    drive_db: float = -20.0
    bit_rate: int = 160_000


class Band:
    """Players in a room: adds parts to a stereo mix, with the small errors of human hands."""

    def __init__(self, song: Song) -> None:
        """Start with silence."""
        self.song = song
        self.rng = np.random.default_rng(list(song.path.encode()))
        self.dry = np.zeros((2, int(song.length_s * song.rate_hz)))
        self.wet = np.zeros_like(self.dry)  # what is sent to the reverb

    def play(
        self,
        instrument: Instrument,
        notes: list[Note],
        gain_db: float = 0.0,
        pan: float = 0.0,
        wet: float = 0.15,
        strum_s: float = 0.012,
    ) -> None:
        """Add a part. `pan` runs from -1 (left) to 1; a chord's strings sound `strum_s` apart."""
        rate_hz, beat_s = self.song.rate_hz, 60 / self.song.tempo_bpm
        angle = (pan + 1) * np.pi / 4
        sides = 10 ** (gain_db / 20) * np.array([[np.cos(angle)], [np.sin(angle)]])
        for note in notes:
            beat, part = divmod(note.start, 1)
            swung_beat = beat + np.interp(part, [0, 0.5, 1], [0, 0.5 + self.song.swing, 1])
            late_s = abs(self.rng.normal(0, 0.005)) + note.strum * strum_s
            begin = int((swung_beat * beat_s + late_s) * rate_hz)
            accent = 1.05 if part == 0 else 0.95
            velocity = np.clip(note.velocity * accent * self.rng.normal(1, 0.07), 0.02, 1)
            pitch_hz = 440 * 2 ** ((note.pitch + self.rng.normal(0, 0.02) - 69) / 12)
            tone = Tone(pitch_hz, note.length * beat_s, velocity, note.bend, rate_hz, self.rng)
            sound = instrument(tone)[: self.dry.shape[1] - begin] * velocity**1.5
            self.dry[:, begin : begin + len(sound)] += sides * sound
            self.wet[:, begin : begin + len(sound)] += wet * sides * sound

    def reverb(self) -> Audio:
        """Return what the room adds to the mix, (2, samples)."""
        reverb_s, rate_hz = self.song.reverb_s, self.song.rate_hz
        time_s = np.arange(int(reverb_s * rate_hz)) / rate_hz
        noise = self.rng.standard_normal((2, len(time_s)))
        # Walls swallow treble first: a bright tail that dies soon lies over a dark one.
        dark = signal.lfilter([0.15], [1, -0.85], noise) * 10 ** (-3 * time_s / reverb_s)
        tail = 2 * dark + 0.5 * noise * 10 ** (-7 * time_s / reverb_s)
        tail *= np.minimum(time_s / 0.02, 1) / np.sqrt(np.sum(tail**2, axis=1, keepdims=True))
        return signal.fftconvolve(self.wet, tail, axes=1)[:, : self.wet.shape[1]]


def record(song: Song) -> Audio:
    """Return the finished song (channels, samples)."""
    band = Band(song)
    song.score(band)
    mix = band.dry + band.reverb()
    if song.channels == 1:
        mix = mix.mean(axis=0, keepdims=True)
    mix = unit(np.tanh(unit(mix) * 10 ** (song.drive_db / 20))) * 10 ** (song.peak_db / 20)
    fade = round(0.2 * song.rate_hz)
    mix[:, -fade:] *= np.linspace(1, 0, fade)
    return mix + 10 ** (NOISE_FLOOR_DB / 20) * band.rng.standard_normal(mix.shape)


# --- Songs --------------------------------------------------------------------------------------


def clean_riff(band: Band) -> None:
    """One guitar, E minor: a riff, its answer with double stops, three ringing chords."""
    riff = "E2:.5! E3 D3 E3 G3:.75 E3:.25 D3:.5 B2 | A2 B2 D3 B2 E2:1! -:1 |"
    answer = "E2:.5! E3 D3 E3 G3:.75 A3:.25 B3:.5 D4 | B3+E4! - A3+D4 B3+E4! - G3+B3:1.5?"
    band.play(pluck, phrase(riff + answer), wet=0.06)
    band.play(pluck, phrase(riff, 16, transpose=5) + phrase(answer, 24), wet=0.06)
    band.play(pluck, phrase("320033:2! x32033:1 x32033^ | 022000:5!", 32), wet=0.06)


def power_chords(band: Band) -> None:
    """One guitar, E: palm-muted chugs with stabs, open chords, a stop, one last chord."""
    chug = "022xxx:.5! 022xxx 022xxx - 022xxx 022xxx - - |"
    stabs = "-:1.5 355xxx:.5! -:1 x022xx:1! | -:1.5 x355xx:.5! -:1 x244xx:1! |"
    gallop = "022xxx:.5! 022xxx:.25 022xxx " * 4
    shapes = ("022xxx", "x355xx", "355xxx", "x577xx")
    wall = " ".join(f"{shape}:1.5! {shape}:.5? {shape}:1 {shape}" for shape in shapes)
    chugs = phrase(chug * 4, velocity=0.7) + phrase(gallop, 32, 0.7)
    band.play(muted_guitar, chugs, wet=0.03, strum_s=0.003)
    opens = phrase(stabs * 2) + phrase(wall, 16) + phrase("022100:7!", 40)
    band.play(pluck, opens, wet=0.05, strum_s=0.007)


def lead_bends(band: Band) -> None:
    """One guitar, A minor: slow phrases with bends, vibrato and long rests."""
    tune = (
        "-:1 E4:.5 G4 A4:1.5! G4:.5 | D5/E5:2! D5:.5 C5 A4:1 | G4/A4:.5 C5 A4 G4 E4:2"
        "| -:2 A4:.5 C5 D5 E5 | G5/A5:2.5! G5:.5 E5 D5 | C5/D5:.75! C5:.25 A4:.5 G4 A4:2"
    )
    band.play(lead_guitar, phrase(tune, velocity=0.7), wet=0.12)
    band.play(pluck, phrase("x02210:4?", 24, ring=2), wet=0.12, strum_s=0.05)


def fingerpicked_rain(band: Band) -> None:
    """Steel-string arpeggios in C that grow, with a softer nylon guitar singing high above."""
    shapes = ["x32010", "x20003", "x02210", "xx3211", "x32010", "320003", "x02210", "022000"]
    text = " ".join(pick(shape, "b1 3 2 4 b 3 1 2") for shape in [*shapes, "xx3211", "320003"])
    notes = phrase(text + " x32010:4!", ring=1.2)
    band.play(steel_guitar, swell(notes, 0.6, 1.1), 0, -0.35, wet=0.25, strum_s=0.03)
    high = "G5:3 E5:1 | D5:4 | C5:1.5 D5:.5 E5:2 | A5:4 | G5:2 E5 | D5:3 B4:1 | C5:4 | B4:4"
    band.play(nylon_guitar, phrase(high, 8, ring=1), 3, 0.5, wet=0.4)


def slow_bass(band: Band) -> None:
    """A bass takes the tune in A minor over a sleepy kit that enters late."""
    tune = (
        "A1:1.5! E2:.5 G2:1 A2 | F1:1.5! C2:.5 E2:1 - | C2:1.5! G2:.5 B2 C3 B2 G2"
        "| G1:1! B1:.5 D2 G2:.75 F2:.25 E2:.5 D2 | A1:1.5! E2:.5 C3:1.5 B2:.25 A2"
        "| F1:1! A1:.5 C2 A2:1 G2:.5 F2 | D2:1.5! A2:.5 F2 E2 D2 C2 | E1:2! -:1 G1:.5 G#1 | A1:4!"
    )
    band.play(finger_bass, phrase(tune, velocity=0.7), wet=0.05)
    band.play(kick, steps("x.......x.x.....|" * 6, 8, 0.5), -6)
    band.play(brush, steps("....x..o....x.o.|" * 6, 8, 0.5), -4, 0.1, wet=0.3)
    band.play(cymbal, steps("x.o.x.o.x.o.x.oo|" * 6, 8, 0.4), -6, 0.3)


def night_pads(band: Band) -> None:
    """Wide chords in D that swell out of near silence and sink back, with far-off bells."""
    rise = phrase("D3+A3+C#4+F#4:6 B2+F#3+A3+D4 G2+D3+B3+F#4", velocity=1)
    fall = phrase("A2+E3+A3+D4:4 A2+E3+A3+C#4:2 D2+A2+F#3+A3:4", 18, velocity=1)
    band.play(pad, swell(rise, 0.12, 1), 0, -0.3, wet=0.35, strum_s=0.1)
    band.play(pad, swell(fall, 1, 0.15), 0, 0.3, wet=0.35, strum_s=0.1)
    bells = "-:4 A5:3 F#5:4 D6:1 C#6:4 E6:2 B5:4 A5:3 D6:2"
    band.play(bell, phrase(bells, velocity=0.4), -2, wet=1)


def drum_room(band: Band) -> None:
    """Drums alone in a live room: a groove, a whispered middle, tom fills and crashes."""
    groove = "X.....x.x.x.....|X..x....x.x...x.|"
    backbeat, whisper = "....X..o.o..X..o|", "o..o..o.o..o.oo.|o..o.oo.oooxxxxX|"
    band.play(kick, steps(groove * 2, 0, 0.75) + steps(groove + "X", 24, 0.75), wet=0.1)
    band.play(snare, steps(backbeat * 4 + whisper + backbeat), wet=0.35)
    band.play(cymbal, steps("x.o.x.o.x.o.x.o." * 7), -3, wet=0.15)
    band.play(open_hat, steps("..............x." * 4), -4, wet=0.2)
    for pitch, fill in ((50, "XxX"), (45, "....XxX"), (41, "........XxXxXXXX")):
        band.play(tom, steps(fill, 28, 0.7, pitch), -1, wet=0.35)
    band.play(crash, phrase("C4:24! C4:8! C4!"), -5, wet=0.3)


def piano_waltz(band: Band) -> None:
    """Electric piano, bass and brushes in three-four time, B flat major."""
    tune = (
        "F5:2 D5:1 | G5:1.5 F5:.5 Eb5:1 | C5:.5 D5 Eb5 F5 G5 A5 | F5:3! | D5:1 F5 Bb5"
        "| G5:2 Bb5:1 | A5:.5 G5 Eb5 C5 D5 Eb5 | F5:2 -:1 | D6:2! Bb5:1 | A5:1.5 F#5:.5 D5:1"
        "| G5:.5 A5 Bb5 A5 G5 F5 | E5:2 G5:1 | Eb5:1 G5 Bb5 | A5:2 F5:1 | D5+F5+A5+Bb5:4?"
    )
    hands = (
        "Bb1 D4+F4+A4, C2 Eb4+G4+Bb4, F1 Eb4+G4+A4, Bb1 D4+F4+A4, G1 D4+F4+Bb4, Eb2 D4+G4+Bb4,"
        "C2 Eb4+G4+Bb4, F1 Eb4+G4+A4, Bb1 D4+F4+Bb4, D2 C4+F#4+A4, G1 D4+F4+Bb4, C2 E4+G4+Bb4,"
        "C2 Eb4+G4+Bb4, F1 Eb4+G4+A4"
    )
    bars = [hand.split() for hand in hands.split(",")]
    bass = " ".join(f"{root}:2.5 {root}:.5?" for root, _ in bars) + " Bb1:4"
    comping = " ".join(f"-:1 {shape}? {shape}:.5 -" for _, shape in bars)
    band.play(electric_piano, phrase(tune, velocity=0.62), 0, 0.2, wet=0.25)
    band.play(electric_piano, phrase(comping, velocity=0.6, ring=0.2), -3, -0.3, wet=0.2)
    band.play(finger_bass, phrase(bass), wet=0.05)
    band.play(brush, steps("....x.oox.o.|" * 14, velocity=0.4), -2, 0.3, wet=0.3)
    band.play(ride, steps("x...x..ox...|" * 14, velocity=0.4), -6, -0.4, wet=0.2)


def vowel_song(band: Band) -> None:
    """A wordless voice over pads and a heartbeat, F minor."""
    tune = (
        "-:2 C4:1 Eb4 | F4:3! Ab4:1 | G4:1.5 F4:.5 Eb4:2 | -:1 Db4 F4 Ab4 | C5:3! Bb4:1"
        "| Ab4:1.5 G4:.5 F4:2 | -:1 F4:.5 G4 Ab4:1 Bb4 | G4:3? E4:1 | F4:4?"
    )
    chords = "F3+Ab3+C4+Eb4:8 Db3+F3+Ab3+C4 Bb2+F3+Ab3+Db4 C3+E3+G3+Bb3 F2+C3+F3+Ab3:4"
    band.play(voice, phrase(tune, velocity=0.7), wet=0.35)
    band.play(pad, phrase(chords, velocity=0.45), -4, wet=0.3, strum_s=0.08)
    band.play(finger_bass, phrase("F1:4 F1 Db2 Db2 Bb1 Bb1 C2 C2 F1", velocity=0.6), -3)
    band.play(kick, steps("x..o............" * 6, 8, 0.45), -4)
    band.play(cymbal, steps("..x...x...x..oxo" * 5, 12, 0.35), -8, 0.5, wet=0.3)


def sparse_bells(band: Band) -> None:
    """Single bells and marimba figures in F sharp minor, with near silence between them."""
    figures = "F#4:.25! A4 C#5 E5 F#5:1 -:2 | -:4 | E5:.25 C#5 A4 B4 C#5:1! -:2 | -:4 |"
    band.play(marimba, phrase(figures + "F#4:.25 A4 B4 C#5 E5 F#5 A5 C#6!"), wet=0.3)
    band.play(bell, phrase("-:2 C#6:7? A5:7 F#5+C#6:4?"), -3, wet=0.5, strum_s=0.15)
    band.play(nylon_guitar, phrase("-:3.5 F#2:2.5! -:4 D2:1.5! -:6 F#2+C#3:2!", ring=1), wet=0.3)


def garage_song(band: Band) -> None:
    """A loud four-piece in G: two strumming guitars, picked bass, drums and a lead at the end."""
    verse = ("320033", "x32033", "022033", "xx0232")
    chorus = ("x32010", "xx0232", "320033", "022000")
    strum = "{0}:1! {0}:.5 {0}^ - {0}^ {0} {0}^"
    chords = " ".join(strum.format(shape) for shape in verse * 2 + chorus * 2) + " 320033:5!"
    for pan in (-0.8, 0.8):
        band.play(pluck, phrase(chords), -5, pan, wet=0.1)
    roots = ("G1", "C2", "E1", "D2") * 2 + ("C2", "D2", "G1", "E1") * 2
    bass = " ".join(f"{root}:.5! " + f"{root} " * 7 for root in roots) + "G1:5!"
    band.play(pick_bass, phrase(bass, velocity=0.6), -1, wet=0.02)
    lead = "D5/E5:1! D5:.5 C5 G4:1 A4 | A4/B4:1.5! A4:.5 F#4:2 | B4:.5 D5 B4 A4 G4:2 | B4:1 A4 G4"
    band.play(lead_guitar, phrase(lead, 48), -3, -0.2, wet=0.2)
    band.play(kick, steps("X.....x.X.x.....|" * 16 + "X", velocity=0.7), -1)
    beat = "....X.......X..x|"
    band.play(snare, steps(beat * 7 + "....X...XxxxXXXX" + beat * 8), -1)
    band.play(cymbal, steps("X.x.X.x.X.x.X.x.|" * 8), -5, 0.3)
    band.play(ride, steps("X.x.X.x.X.x.X.x.|" * 8, 32), -10, 0.3)
    band.play(crash, phrase("C4:32! C4! C4!"), -5, -0.3)


def blues_shuffle(band: Band) -> None:
    """Twelve bars in A with a swing: shuffling guitar, walking bass, drums and a lead."""
    bars = {
        "A": ("x02xxx:.5! x02xxx x04xxx! x04xxx ", "A1:1 C#2 E2 F#2 "),
        "D": ("xx02xx:.5! xx02xx xx04xx! xx04xx ", "D2:1 F#2 A2 B2 "),
        "E": ("02xxxx:.5! 02xxxx 04xxxx! 04xxxx ", "E1:1 G#1 B1 D2 "),
    }
    form = [bars[name] for name in "AAAADDAAEDA"]
    comping = "".join(guitar * 2 for guitar, _ in form) + "x02220:2! 020100:2 | x02223:5!"
    walking = "".join(bass for _, bass in form) + "A1:1 C2 C#2 E2 | A1:5!"
    lead = (
        "-:2.5 E4:.5 G4 A4 | C5/C#5:1! A4:.5 G4 A4:2 | -:2 C5:.5 D5 D5/E5 C5 | A4:3 -:1"
        "| -:1 A4:.5 C5 D5/E5:1! D5:.5 C5 | A4 C5 A4 G4 F#4:1 D4 | C4/C#4:.5 E4 A4:3! | -:4"
        "| E5:.5! D5 B4 G#4 E4 G#4 B4 D5 | D5/E5:1 D5:.5 C5 A4:1 F#4 | G4/A4:1.5! E4:.5 C4/C#4:1 A3"
    )
    band.play(pluck, phrase(comping), -4, -0.4)
    band.play(finger_bass, phrase(walking), wet=0.04)
    band.play(lead_guitar, phrase(lead, velocity=0.68), 0, 0.25, wet=0.25)
    band.play(kick, steps("x.......x.....o.|" * 12 + "X", velocity=0.6), -3)
    band.play(snare, steps("....x..o....x.o.|" * 11 + "....x.x.x.xxX.xx"), -4, wet=0.2)
    band.play(ride, steps("x...x.x.x...x.x.|" * 12 + "X", velocity=0.5), -6, 0.4)


def funk_corner(band: Band) -> None:
    """Sixteenths in E: scratched ninth chords, a busy bass, ghost notes and piano stabs."""
    strokes = "{0}:.25! - - {0} - - {1} {0}! - - {0} - - {0}! - - |".format("x76777", "x65666")
    stabs = phrase(strokes * 5, 4) + phrase(strokes * 4, 28)
    band.play(pluck, stabs, -6, 0.5, wet=0.1, strum_s=0.004)
    dead = steps(".oo.oo..oo.oo.oo|" * 11, velocity=0.8, pitch=62)
    band.play(scratch_guitar, dead, 4, 0.5, wet=0.1)
    line = "E1:.5! -:.25 E2 D2 E1:.5 G1:.25 - G#1 B1 - E1:.5 D2:.25 B1 |"
    fill = "A1:.5! A1:.25 A2! G2 A1 - C2 - C#2 E2 - G2 E2 D2 B1 |"
    band.play(pick_bass, phrase((line * 3 + fill) * 2 + line * 3 + "E1:5!"), wet=0.03)
    band.play(kick, steps("X.....x...x..x..|" * 11 + "X"), -2)
    band.play(snare, steps("....X..o.o.oX..o|" * 10 + "....X..oXoxxXxXX"), -2, -0.1)
    band.play(cymbal, steps("xoxoxoxxxoxoxoxo|" * 11, velocity=0.5), -5, -0.3)
    piano = "-:2.5 G#4+B4+D5+F#5:.25! -:.5 G#4+B4+D5+F#5:.75 | -:4 |" * 5
    piano = phrase(piano + "E3+G#3+D4+F#4:5!", 4, 0.75)
    band.play(electric_piano, piano, -4, -0.4, wet=0.2)


def last_train(band: Band) -> None:
    """A crescendo in B minor from a lone muted guitar to everyone, a stop, a last chord."""
    ostinato = (
        "B2:.5 F#3 B3 F#3 C#4 B3 F#3 B3 | G2 D3 B3 D3 F#3 B3 D3 B3 |"
        "D3 A3 D4 A3 E4 D4 A3 D4 | A2 E3 C#4 E3 A3 C#4 E3 A3 |"
    )
    band.play(muted_guitar, swell(phrase(ostinato * 4, velocity=1), 0.16, 0.75), 0, -0.4)
    section = partial(pad, attack_s=0.3, cutoff_hz=4000.0)
    strings = phrase("B3+D4+F#4:4 G3+B3+D4 A3+D4+F#4 A3+C#4+E4 " * 3, 16, velocity=1)
    band.play(section, swell(strings, 0.1, 0.9), -6, 0.3, wet=0.3)
    bass = " ".join(f"{root}:.5! " + f"{root} " * 7 for root in ("B1", "G1", "D2", "A1") * 2)
    band.play(pick_bass, swell(phrase(bass, 32), 0.5, 1.1), -1)
    band.play(tom, swell(steps("x..x..x.x..x..xx|" * 8, 32, 0.9, 43), 0.2, 1), -4, wet=0.35)
    band.play(kick, steps("X...x...X...x...|" * 4, 48), -1)
    roll = steps("....X..x....X.xx|" * 3 + "xxxxxxxxxxxx", 48)
    band.play(snare, swell(roll, 0.5, 1.2), -1, wet=0.2)
    wide = "x24432:2! x24432 | 320003! 320003 | xx0232! xx0232 | x02220! x02220:1 - | -:2 x24432:8!"
    for pan in (-0.8, 0.8):
        band.play(pluck, phrase(wide, 48), -4, pan)
    band.play(crash, phrase("C4:8! C4:10! C4!", 48), -4, 0.2, wet=0.3)
    band.play(section, phrase("B2+F#3+B3+D4+F#4:4!", 66), -4, wet=0.5)
    band.play(kick, steps("X", 66), wet=0.3)


SONGS = [  # file, score, beats per minute, seconds, peak in dBFS, samples per second
    Song("clean_riff.flac", clean_riff, 112, 22.5, -4.0, 44100, channels=1),
    Song("power_chords.flac", power_chords, 138, 21.0, -1.5, 48000, channels=1),
    Song("lead_bends.flac", lead_bends, 76, 23.5, -7.0, 44100, channels=1, reverb_s=1.2),
    Song("fingerpicked_rain.mp3", fingerpicked_rain, 92, 30.0, -5.0, 44100, reverb_s=1.6),
    Song("slow_bass.mp3", slow_bass, 70, 31.5, -3.0, 44100, bit_rate=128_000),
    Song("night_pads.m4a", night_pads, 52, 36.0, -6.0, 48000, reverb_s=3.0),
    Song("drum_room.WAV", drum_room, 104, 20.2, -0.5, 44100, channels=1, reverb_s=1.0),
    Song("piano_waltz.ogg", piano_waltz, 126, 24.0, -8.0, 44100, swing=0.1, reverb_s=1.4),
    Song("vowel_song.aac", vowel_song, 76, 32.0, -9.0, 44100, reverb_s=2.0, bit_rate=128_000),
    Song("sparse_bells.wav", sparse_bells, 66, 21.0, -12.0, 32000, channels=1, reverb_s=2.4),
    Song("band/garage_song.mp3", garage_song, 152, 27.5, -1.0, 44100, drive_db=6, bit_rate=192_000),
    Song("band/blues_shuffle.ogg", blues_shuffle, 116, 28.0, -2.0, 44100, swing=0.15, drive_db=0),
    Song("band/funk_corner.m4a", funk_corner, 102, 29.0, -1.2, 44100, drive_db=2),
    Song("band/last_train.mp4", last_train, 124, 37.0, -0.8, 48000, reverb_s=2.2, drive_db=3),
]


# --- Files --------------------------------------------------------------------------------------


def write(path: Path, audio: Audio, rate_hz: int, bit_rate: int) -> None:
    """Encode audio (channels, samples) in the format that the suffix of `path` names.

    A video gets a grey picture of 64 by 64 pixels every second. The file appears under its name
    only when it is complete.
    """
    container_name, codec = FORMATS[path.suffix.lower()]
    layout = "mono" if len(audio) == 1 else "stereo"
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    # Bit-exact files hold no dates, encoder versions or random serial numbers. FFmpeg calls its
    # own Vorbis encoder experimental, and has to be told that we know.
    options = {"flags": "+bitexact", "threads": "1", "strict": "experimental"}
    with av.open(part, "w", format=container_name, options={"fflags": "+bitexact"}) as container:
        streams = [container.add_stream(codec, rate_hz, options, layout=layout, bit_rate=bit_rate)]
        if path.suffix == ".mp4":
            streams.append(container.add_stream("mpeg4", 1, options, width=64, height=64))
        for start in range(0, audio.shape[1], rate_hz):
            second = audio[:, start : start + rate_hz].astype(np.float32, order="C")
            sound = av.AudioFrame.from_ndarray(second, format="fltp", layout=layout)
            sound.sample_rate, sound.pts = rate_hz, start
            picture = av.VideoFrame.from_ndarray(np.full((64, 64), 96, np.uint8), format="gray")
            for stream, frame in zip(streams, (sound, picture), strict=False):
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    part.replace(path)


def main() -> None:
    """Render every song of the table and print one line about each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=EXAMPLES, help="folder to write the songs into")
    out = parser.parse_args().out
    print("song                     seconds  rate_hz  channels    KiB  peak_dbfs  rms_dbfs")
    for song in SONGS:
        audio = record(song)
        write(out / song.path, audio, song.rate_hz, song.bit_rate)
        kib = (out / song.path).stat().st_size / 1024
        peak_db, rms_db = 20 * np.log10([np.max(np.abs(audio)), np.sqrt(np.mean(audio**2))])
        print(
            f"{song.path:24} {song.length_s:7.1f} {song.rate_hz:8} {song.channels:9} {kib:6.0f} "
            f"{peak_db:10.1f} {rms_db:9.1f}"
        )


if __name__ == "__main__":
    main()
