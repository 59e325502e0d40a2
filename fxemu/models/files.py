"""A trained loop as two files that hold data alone: its weights (safetensors) beside how it is built (JSON)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from safetensors.torch import save as serialized
from torch import Tensor, nn

from fxemu import models, representations
from fxemu.arguments import check_arguments
from fxemu.errors import UserError, check_sample_rate
from fxemu.files import EARLIER, parse_json, printable, write_whole
from fxemu.models.closed_loop import ClosedLoop
from fxemu.models.knobs import from_description
from fxemu.models.parts.conditioning import of_this_version

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
# No model of ours comes near these; a file that claims more is refused before anything is allocated.
MOST_BYTES = {WEIGHTS: 200_000_000, DESCRIPTION: 16_000}
VERSION = 1
LONGEST_MEMORY = 2**22
# What a hostile file can provoke on its way through the parsers and our own constructors.
BROKEN = (
    ArithmeticError, AttributeError, LookupError, MemoryError, OSError, RuntimeError, SafetensorError, TypeError,
    ValueError,
)  # fmt: skip
# All that a description may name.
CLASSES = {
    f"fxemu.{package.__name__.rsplit('.', 1)[1]}.{name}": getattr(package, name)
    for package in (models, representations)
    for name in package.__all__
    if name not in ("Predictor", "Representation")
}
# The name that earlier versions gave it.
CLASSES["fxemu.models.Auto"] = models.OctaveGain


class WeightsError(UserError):
    """Files that are no trained emulation of ours; the message names them and says what is wrong."""


def save(loop: ClosedLoop, config: Mapping[str, Any], folder: Path) -> None:
    """Write `model.safetensors` and `model.json` into a run folder.

    Args:
        loop: the trained loop.
        config: the run's config as plain data, of which `model`, `repr` and `data.sample_rate` are kept.
        folder: must exist.
    """
    description = {
        "version": VERSION,
        "sample_rate": config["data"]["sample_rate"],
        "model": config["model"],
        "repr": {side: config["repr"][side] for side in ("input", "output")},
    }
    for name, content in packed(loop, description).items():
        write_whole(folder / name, content)


def packed(loop: ClosedLoop, description: Mapping[str, Any]) -> dict[str, bytes]:
    """The content of both files by name, of a loop and a description of it, in which the knobs are put or left out."""
    knobs = {"knobs": [asdict(knob) for knob in loop.knobs], "conditioning": loop.conditioning} if loop.knobs else {}
    description = {key: value for key, value in description.items() if key not in ("knobs", "conditioning")} | knobs
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in loop.state_dict().items()}
    return {WEIGHTS: serialized(weights), DESCRIPTION: (json.dumps(description, indent=2) + "\n").encode()}


def from_folder(folder: Path) -> dict[str, bytes]:
    for name in MOST_BYTES:
        if not (folder / name).is_file():
            raise WeightsError(
                f"{printable(folder)}: has no {name}, which training writes when it ends (python train.py resume=RUN)"
            )
        check_size(folder / name, name, (folder / name).stat().st_size)
    return {name: (folder / name).read_bytes() for name in MOST_BYTES}


def check_size(path: Path, name: str, size: int) -> None:
    if size > MOST_BYTES[name]:
        raise WeightsError(f"{printable(path)}: is larger than {MOST_BYTES[name]} bytes, so it is none of ours")


def parse(content: Mapping[str, bytes], name: str) -> tuple[ClosedLoop, int]:
    """The loop in the two files' content, and its rate in Hz; a WeightsError names it by `name`."""
    try:
        description = _description(content[DESCRIPTION])
        # Files of earlier versions have no gains: they were 1.
        weights = dict.fromkeys(("gain", "dry_gain"), torch.tensor(1.0)) | _weights(content[WEIGHTS])
        weights = of_this_version(weights, "turning.")
        loop, weights = _built(description, weights)
        loop.load_state_dict(_checked(weights))
    except BROKEN as error:
        raise WeightsError(f"{name}: broken: {_reason(error)}") from error
    return loop.eval(), description["sample_rate"]


def _weights(content: bytes) -> dict[str, Tensor]:
    """The tensors by name; the sizes that the header claims must be those of the file."""
    try:
        return load(content)
    except SafetensorError as error:
        raise ValueError(f"{WEIGHTS} is no safetensors file, or is cut off ({error})") from error


def _description(content: bytes) -> dict[str, Any]:
    description = parse_json(content)
    if not isinstance(description, dict) or description.get("version") != VERSION:
        raise ValueError(f"{DESCRIPTION} is no description of version {VERSION}")
    rate = description.get("sample_rate")
    check_sample_rate("sample_rate", rate)
    return description


def _built(description: dict[str, Any], weights: dict[str, Tensor]) -> tuple[ClosedLoop, dict[str, Tensor]]:
    """The loop that is described, once it is known to have the tensors of the file; and these, as it has them."""
    asked = description["model"]
    layers = asked.get("layers", 1), asked.get("arrays", 1) * len(asked.get("dilations", [0]))
    if max(layers) > len(weights):
        raise ValueError(f"{DESCRIPTION} says {max(layers)} layers, with {len(weights)} tensors in the file")
    with torch.device("meta"):
        outline = _loop(description)
    weights = outline.predictor.of_this_version(weights, "predictor.")
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    expected = {name: tuple(tensor.shape) for name, tensor in outline.state_dict().items()}
    wrong = sorted(name for name in expected | shapes if expected.get(name) != shapes.get(name))
    if wrong:
        name = wrong[0]
        shown = [str(sizes.get(name, "no such tensor")) for sizes in (expected, shapes)]
        raise ValueError(f"{name}: {DESCRIPTION} says {shown[0]}, {WEIGHTS} says {shown[1]}")
    if type(outline.warm_up) is not int or not 0 <= outline.warm_up <= LONGEST_MEMORY:
        raise ValueError(f"remembers {outline.warm_up} samples; a whole number up to {LONGEST_MEMORY} can be run")
    return _loop(description), weights


def _loop(description: dict[str, Any]) -> ClosedLoop:
    sides = (description["repr"][side] for side in ("input", "output"))
    encoder, decoder = (_made(section, representations.Representation) for section in sides)
    predictor = _made(description["model"], models.Predictor, channels=encoder.channels, params=decoder.params)
    knobs, conditioning = from_description(description.get("knobs", ())), description.get("conditioning", "scales")
    return ClosedLoop(predictor, encoder, decoder, knobs, conditioning)


def _made(section: dict[str, Any], kind: type[nn.Module], **more: int) -> Any:
    """One of our own classes, by its name in the description."""
    target, arguments = section["_target_"], {k: v for k, v in section.items() if k != "_target_"}
    if not isinstance(target, str) or target not in CLASSES or not issubclass(CLASSES[target], kind):
        raise ValueError(f"_target_: got {target!r}; must be one of {', '.join(CLASSES)}")
    check_arguments(CLASSES[target], arguments, "_target_")
    return CLASSES[target](**EARLIER.get(target, {}) | arguments, **more)


def _checked(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    for name, tensor in weights.items():
        if tensor.dtype != torch.float32 or not torch.isfinite(tensor).all():
            raise ValueError(f"{name}: must hold finite numbers of 32 bits")
    for name in ("limit", "gain", "dry_gain"):
        if weights[name] <= 0:
            raise ValueError(f"{name}: got {float(weights[name])}; must be above 0")
    return weights


def _reason(error: BaseException) -> str:
    """The first line of an error's message, printable and of limited length."""
    if isinstance(error, KeyError):
        return f"{DESCRIPTION} lacks {error}"
    return printable((str(error).splitlines() or [type(error).__name__])[0])[:300]
