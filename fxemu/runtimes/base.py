"""The protocol of export formats: write a model to a file, run what was written, and compare.

Shapes: samples (T,), mono.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import shutil
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from fxemu.audio.tensors import write_wav
from fxemu.engine.activations import RECORDS
from fxemu.engine.oversampling import LATENCY
from fxemu.engine.plan import IDENTITY, PERIOD
from fxemu.engine.playable import Playable
from fxemu.engine.streaming.stream import Stream, render
from fxemu.errors import UserError
from fxemu.files import temporary_beside
from fxemu.models.closed_loop import ClosedLoop
from fxemu.models.knobs import positions, smoothed
from fxemu.models.oversampled import oversampled

# Beside a wet signal of full scale.
TOLERANCE = 1e-4
PAIR_SAMPLES = 2048
# The sample of a test pair at which the knobs are turned: where blocks of 64 and of 100 samples begin, and a point is.
TURNED_AT = 1600
SEEDS = 12


class ExportError(UserError):
    """A model that a format cannot hold, or a file that does not play as the model does; the message says why."""


@dataclass(frozen=True)
class Model:
    """A model to export.

    Args:
        loop: a trained predictor with its representations.
        sample_rate: that it was trained at, in Hz.
        name: of the emulation, for people; a letter or digit at least.
        files: content by name of the two files of `models.files.save`, which exported programs carry.
        oversample: 2, 4 or 8 to play at so many times the rate inside; 1 for none.
        about: fields of a .nam file by name, such as gear_make.
    """

    loop: ClosedLoop
    sample_rate: int
    name: str = "fxemu"
    files: Mapping[str, bytes] = field(default_factory=dict)
    oversample: int = 1
    about: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not any(map(str.isalnum, self.name)):
            raise ExportError(f"name: got {self.name!r}; must have a letter or a digit in it")
        for label, weight in self.loop.state_dict().items():
            if not torch.isfinite(weight).all():
                raise ExportError(f"{label} holds NaN or infinity: this training diverged; export another checkpoint")

    @property
    def playable(self) -> Playable:
        """The model, oversampled if asked for; OversamplingError if it cannot be."""
        return oversampled(self.loop, self.oversample)

    @property
    def latency(self) -> int:
        """Samples by which the output is late."""
        return LATENCY if self.oversample > 1 else 0

    @property
    def default_positions(self) -> Tensor | None:
        """Default positions of the knobs, (K,); None for a model without."""
        return positions(self.loop.knobs, {}) if self.loop.knobs else None

    @property
    def default_settings(self) -> dict[str, float]:
        """Default settings of the knobs, by name."""
        return {knob.name: knob.default for knob in self.loop.knobs}

    @property
    def turned_settings(self) -> dict[str, float]:
        """Settings to which the knobs are turned in test pairs, by name."""
        return {knob.name: knob.value(-0.5 if knob.position(knob.default) > 0 else 0.5) for knob in self.loop.knobs}

    def play(self, dry: Tensor) -> Tensor:
        """Wet (T,) for dry (T,), from rest; its knobs stand at their defaults, and are turned at `TURNED_AT`."""
        if not self.loop.knobs:
            return render(self.playable, dry)
        before, after = self.default_positions, positions(self.loop.knobs, self.turned_settings)
        aimed = torch.where(torch.arange(0, dry.numel(), PERIOD) < TURNED_AT, before[:, None], after[:, None])
        return Stream(self.playable, knobs=before).process(dry, knobs=smoothed(aimed, before, self.sample_rate))

    @property
    def tolerance(self) -> float:
        """The largest difference that an exported sample may have."""
        return TOLERANCE * float(self.loop.gain)

    @property
    def identifier(self) -> str:
        """The name as an identifier of C, at most 60 characters; a hash stands for letters that are not ASCII."""
        name = unicodedata.normalize("NFC", self.name)
        word = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_").lower()
        if len(word) > 60 or any(c.isalnum() and not c.isascii() for c in name):
            digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:6]
            word = "_".join(filter(None, (word[:47], digest)))
        return word if word[0].isalpha() else f"model_{word}"

    def reference_pair(self, samples: int = PAIR_SAMPLES) -> tuple[Tensor, Tensor]:
        """Dry test samples (T,), a decaying note with noise, and the model's output for them (T,), from rest.

        A model that rounds its input to levels can jump where a sample lies half-way between two. Of `SEEDS` noises,
        this is the one for which the output depends least on the last bits of the samples.
        """
        pairs = [_pair(self, samples, seed) for seed in range(1 if _is_smooth(self.playable) else SEEDS)]
        return min(pairs, key=lambda pair: 0.0 if len(pairs) == 1 else _sensitivity(self, *pair))


def _pair(model: Model, samples: int, seed: int) -> tuple[Tensor, Tensor]:
    t = torch.arange(samples, dtype=torch.float32)
    noise = torch.randn(samples, generator=torch.Generator().manual_seed(seed))
    note = torch.sin(2 * math.pi * 220 / model.sample_rate * t) + 0.1 * noise
    dry = (0.7 * note * torch.exp(-3 * t / samples)).clamp(-1, 1)
    return dry, model.play(dry)


def _is_smooth(loop: Playable) -> bool:
    """Whether the plan has no jump in it."""
    jumps = (
        getattr(step, "nearest", False) or RECORDS[getattr(step, "activation", IDENTITY).kind].jumps
        for step in loop.plan().steps
    )
    return not any(jumps)


def _sensitivity(model: Model, dry: Tensor, wet: Tensor) -> float:
    """The largest change of the output if the samples change by a few of their last bits."""
    return max(float((model.play(dry * (1 + part)) - wet).abs().max()) for part in (-5e-7, 5e-7))


class Format(ABC):
    """A file format.

    `suffix` is the end of a default file name; a name that a user chooses need only end with `extension`. `holds_pair`:
    whether the file itself holds a pair of input and output to check it by. `oversamples`: whether it can oversample.
    `turnable`: whether a model keeps its knobs in it. `described`: whether it says who made it, and of what gear.
    """

    suffix: str
    holds_pair = False
    oversamples = False
    turnable = False
    described = False

    @property
    def extension(self) -> str:
        """The ending by which programs know such a file; empty for a folder."""
        return Path(f"x{self.suffix}").suffix

    @abstractmethod
    def write(self, model: Model, path: Path) -> None:
        """Write the file (or folder) at `path`; ExportError if the format cannot hold the model."""

    @abstractmethod
    def check(self, model: Model, path: Path) -> str:
        """Run what was written and compare; a sentence on what was found. ExportError if it differs."""


def export(model: Model, form: Format, path: Path) -> str:
    """Write a checked file at `path`, under a temporary name until it has passed, and return what the check found.

    Beside it come the other files of the format, and `NAME-check-dry.wav` and `NAME-check-wet.wav`, if it has no place
    for them. An earlier export is replaced; ExportError for a folder with anything else in it, or another kind of name.
    """
    if not path.name.lower().endswith(form.extension):
        raise ExportError(f"got {path} to write; its name must end with {form.extension}, by which programs know it")
    if model.oversample > 1 and not form.oversamples:
        raise ExportError("--oversample: this format cannot; c and lv2 can")
    if model.about and not form.described:
        raise ExportError("--about: this format has no such fields; nam has")
    # The name is kept, since formats look at its end, and the folder is new, since some make several files.
    folder = temporary_beside(path)
    try:
        folder.mkdir(parents=True)
        form.write(model, folder / path.name)
        finding = form.check(model, folder / path.name)
        if not form.holds_pair:
            _write_pair(model, folder, _stem(path, form))
        if path.is_dir():
            _remove_earlier(path, folder / path.name)
        # The file itself last: where it is, all of it is.
        for file in sorted(folder.iterdir(), key=lambda file: (file.name == path.name, file.name)):
            os.replace(file, path.parent / file.name)
    except OSError as error:
        if error.errno is None:
            raise
        raise ExportError(
            f"{path}: cannot be written ({error.strerror}); choose another place with --output"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return finding


def _stem(path: Path, form: Format) -> str:
    ending = next(end for end in (form.suffix, form.extension) if path.name.lower().endswith(end))
    return path.name[: -len(ending) or None]


def _remove_earlier(path: Path, new: Path) -> None:
    """Remove an earlier export of the same kind; ExportError, and nothing is lost, if the folder is anything else."""
    names = {file.name for file in new.iterdir()} if new.is_dir() else set()
    others = sorted({file.name for file in path.iterdir()} - names)
    if others or not names:
        held = f"it holds {', '.join(others[:3])}, which the export does not" if others else "the export is a file"
        raise ExportError(f"{path} is a folder that is not replaced: {held}; choose another --output")
    shutil.rmtree(path)


def _write_pair(model: Model, folder: Path, name: str) -> None:
    """Two WAV files to check the export by elsewhere, from silence on."""
    dry = torch.cat((torch.zeros(model.loop.warm_up), model.reference_pair()[0]))
    files = {f"{name}-check-dry.wav": dry, f"{name}-check-wet.wav": render(model.loop.at(None), dry)}
    for file, samples in files.items():
        write_wav(folder / file, samples, model.sample_rate)


def put_files(model: Model, folder: Path) -> None:
    """The files of the model into a folder that is exported."""
    for name, content in model.files.items():
        (folder / name).write_bytes(content)


def compared(model: Model, played: Tensor, expected: Tensor, by: str) -> str:
    """How far samples lie apart, as a sentence; ExportError beyond the model's tolerance."""
    error = float((played - expected).abs().max())
    if not error <= model.tolerance:
        raise ExportError(f"played by {by} it is {error:.1e} away from the model; at most {model.tolerance:g} is "
                          "allowed")  # fmt: skip
    return f"played by {by}: within {error:.1e} of the model over {expected.numel()} samples"
