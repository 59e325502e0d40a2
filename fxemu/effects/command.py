"""A program as an effect, from one WAV file to another: SoX, FFmpeg, lv2apply with an LV2 plugin."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from torch import Tensor, nn

from fxemu.audio.source import AudioError
from fxemu.audio.tensors import decode, rate_and_channels, write_wav
from fxemu.effects.base import Effect, EffectError
from fxemu.errors import check_range
from fxemu.files import printable

# Of silence that programs and plugins process before each song.
SETTLE_S = 2.0
# What is no text of a program, but audio.
BINARY = re.compile(r"[\x00-\x07\x0e-\x1a\x1c-\x1f\x7f-\x9f\ufffd]")


class Command(Effect):
    """A command that is run on each whole song, without a shell.

    Args:
        command: the program and its arguments. {dry} and {wet} stand for the paths of the WAV files to read and to
            write (dry is mono, 32-bit float, at the song's rate; a stereo wet is mixed down), {samples} and
            {sample_rate} for what wet must have, and {NAME} for a setting.
        latency_samples: of the program's output, 0 to 1000000; it is taken out.
        timeout_s: for one song, 1 to 86400 s.
        settle_s: of silence before each song, 0 to 60 s; what is made of it is left out. A circuit that is simulated
            from its power switch on needs a second or two to be at rest.
        settings: by the name that stands for each in the command; where its knobs stand.
    """

    memory_s = None
    knob_option = "settings"

    def __init__(
        self,
        command: Sequence[str] | None = None,
        latency_samples: int = 0,
        timeout_s: float = 600.0,
        settle_s: float = SETTLE_S,
        settings: Mapping[str, float] | None = None,
    ) -> None:
        words = [] if command is None or isinstance(command, str) else [str(word) for word in command]
        if not all(any(mark in word for word in words) for mark in ("{dry}", "{wet}")):
            raise ValueError(
                f"command: got {command!r}; must be a list of words with {{dry}} and {{wet}} among them, "
                "such as [sox,'{dry}','{wet}',overdrive,'20']"
            )
        if shutil.which(words[0]) is None:
            cure = "put its name in quotes, or " if isinstance(command[0], bool) else "install it, or "
            raise ValueError(f"command: no program {words[0]!r} is installed; {cure}give its full path")
        check_range("latency_samples", latency_samples, 0, 1_000_000)
        check_range("timeout_s", timeout_s, 1, 86_400, "s")
        check_range("settle_s", settle_s, 0, 60, "s")
        self.settings = dict(settings or {})
        for name in self.settings:
            if not any(f"{{{name}}}" in word for word in words):
                raise ValueError(f"settings: got {name!r}, and {{{name}}} is nowhere in the command")
        self.command, self.latency_samples, self.timeout_s, self.settle_s = words, latency_samples, timeout_s, settle_s

    def identity(self) -> str:
        """The command, with size and time of the program and of each file in it."""
        paths = [shutil.which(self.command[0]) or "", *self.command[1:]]
        settings = f" {sorted(self.settings.items())}" if self.settings else ""
        given = f"{self.command} {self.latency_samples} {self.settle_s}{settings}"
        return f"command {given} {[file_state(path) for path in paths]}"

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        settling = round(self.settle_s * sample_rate)
        samples = settling + dry.numel() + self.latency_samples
        with tempfile.TemporaryDirectory(prefix="fxemu-") as folder:
            wet = Path(folder) / "wet.wav"
            marks = {"dry": f"{folder}/dry.wav", "wet": str(wet), "samples": samples, "sample_rate": sample_rate}
            marks |= self.settings
            write_wav(marks["dry"], nn.functional.pad(dry, (settling, self.latency_samples)), sample_rate)
            run_program([_filled(word, marks) for word in self.command], self.timeout_s, f"command {self.command[0]}")
            return _read(wet, samples, sample_rate, self.command[0])[settling + self.latency_samples :]


def _filled(word: str, marks: dict[str, object]) -> str:
    for mark, value in marks.items():
        word = word.replace(f"{{{mark}}}", str(value))
    return word


def _read(path: Path, samples: int, sample_rate: int, name: str) -> Tensor:
    """Read the WAV file that a command wrote; mixed down as songs are; EffectError for another rate or length."""
    if not path.is_file():
        raise EffectError(f"command {name} ended without error but wrote no file to {{wet}}: check its arguments")
    try:
        rate, _ = rate_and_channels(path)
        wet, _ = decode(path)
    except AudioError as error:
        raise EffectError(f"command {name}: what it wrote to {{wet}} is no audio: {error}") from error
    if rate != sample_rate:
        raise EffectError(f"command {name} wrote {rate} Hz; must be {sample_rate} Hz, the rate of {{dry}}")
    if wet.numel() != samples:
        raise EffectError(
            f"command {name} wrote {wet.numel()} samples; must be {samples}, as many as in {{dry}}: "
            "cut its tail off, for instance with SoX's `trim 0 {samples}s`"
        )
    return wet


def run_program(arguments: Sequence[str], timeout_s: float, name: str) -> None:
    """Run a program to its end, without a shell and without input, and end its children with it.

    Raises:
        EffectError: if it cannot start, takes too long, crashes or exits with an error; with its last words.
    """
    with tempfile.TemporaryFile() as words:
        try:
            process = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=words, stderr=words, start_new_session=True
            )
        except OSError as error:
            raise EffectError(f"{name}: cannot be started ({error.strerror})") from error
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise EffectError(f"{name}: still running after {timeout_s:g} s; raise effect.timeout_s") from error
        finally:
            # Also where it ended by itself, or training was interrupted: its children must not outlive it.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if code:
            words.seek(max(0, words.seek(0, os.SEEK_END) - 1000))
            said = BINARY.split(words.read().decode(errors="replace"))[-1]
            output = " / ".join(said.split("\n")).strip(" /")[-500:] or "nothing"
            how = f"crashed ({signal.Signals(-code).name})" if code < 0 else f"failed with exit code {code}"
            raise EffectError(f"{name}: {how}; its last words: {printable(output)}")


def file_state(path: str) -> tuple[str, int, int] | None:
    """Path, size in bytes and time of change in ns of a file; None where there is none."""
    try:
        state = os.stat(path)
    except (OSError, ValueError):
        return None
    return path, state.st_size, state.st_mtime_ns
