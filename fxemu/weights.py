"""A trained loop as two files that hold data alone: its weights (safetensors) beside how it is built (JSON)."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialized
from torch import Tensor, nn

from fxemu import models, representations
from fxemu.decoding import printable
from fxemu.files import write_whole
from fxemu.rollout import ClosedLoop

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
VERSION = 1
RATES_HZ = (8000, 192_000)
# No model of ours comes near these; a file that claims more is refused before anything is allocated.
MOST_BYTES = {WEIGHTS: 1_000_000_000, DESCRIPTION: 16_000}
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


class WeightsError(ValueError):
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
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in loop.state_dict().items()}
    write_whole(folder / WEIGHTS, serialized(weights))
    write_whole(folder / DESCRIPTION, (json.dumps(description, indent=2) + "\n").encode())


def read(path: str | os.PathLike[str]) -> tuple[ClosedLoop, int]:
    """A trained loop, ready to run, and the sample rate in Hz that it was trained at.

    Nothing is unpickled, no class is made that is not in CLASSES, and nothing is allocated that the files do not hold.

    Args:
        path: a run folder, its best checkpoint (whose weights these are), or either of the two files.

    Raises:
        WeightsError: for anything else, and for files that are damaged or do not fit each other.
    """
    folder = Path(path)
    try:
        folder = _folder(folder)
        with _opened(folder) as file:
            description = _description(folder)
            names = file.keys()
            loop = _built(description, {name: tuple(file.get_slice(name).get_shape()) for name in names})
            loop.load_state_dict(_checked({name: file.get_tensor(name) for name in names}))
    except WeightsError:
        raise
    except BROKEN as error:
        raise WeightsError(f"{printable(folder)}: broken: {_reason(error)}") from error
    return loop.eval(), description["sample_rate"]


def _folder(path: Path) -> Path:
    """The folder of both files."""
    if path.name == "best.ckpt":
        path = path.parent.parent
    if not path.exists():
        raise WeightsError(f"{printable(path)}: no such run; give a run folder or its {WEIGHTS}")
    if path.suffix == ".ckpt":
        raise WeightsError(f"{printable(path)}: a checkpoint serves to go on training; give its run folder")
    if path.is_file() and path.name not in MOST_BYTES:
        raise WeightsError(f"{printable(path)}: is no run of ours; give a run folder or its {WEIGHTS}")
    folder = path if path.is_dir() else path.parent
    for name, most in MOST_BYTES.items():
        if not (folder / name).is_file():
            raise WeightsError(
                f"{printable(folder)}: has no {name}, which training writes when it ends (python train.py resume=RUN)"
            )
        if (folder / name).stat().st_size > most:
            raise WeightsError(f"{printable(folder / name)}: is larger than {most} bytes, so it is none of ours")
    return folder


def _opened(folder: Path) -> safe_open:
    """The weights, of which the header alone is read at first; its sizes must be those of the file."""
    try:
        return safe_open(folder / WEIGHTS, framework="pt")
    except SafetensorError as error:
        raise ValueError(f"{WEIGHTS} is no safetensors file, or is cut off ({error})") from error


def _description(folder: Path) -> dict[str, Any]:
    description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    if not isinstance(description, dict) or description.get("version") != VERSION:
        raise ValueError(f"{DESCRIPTION} is no description of version {VERSION}")
    rate = description.get("sample_rate")
    if type(rate) is not int or not RATES_HZ[0] <= rate <= RATES_HZ[1]:
        raise ValueError(f"sample_rate: got {rate!r}; must be from {RATES_HZ[0]} to {RATES_HZ[1]} Hz")
    return description


def _built(description: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> ClosedLoop:
    """The loop that is described, once it is known to have the tensors that the file holds."""
    for name in ("layers", "arrays"):
        if description["model"].get(name, 1) > len(shapes):
            raise ValueError(f"{name}: got {description['model'][name]}, with {len(shapes)} tensors in the file")
    with torch.device("meta"):
        outline = _loop(description)
    expected = {name: tuple(tensor.shape) for name, tensor in outline.state_dict().items()}
    wrong = sorted(name for name in expected | shapes if expected.get(name) != shapes.get(name))
    if wrong:
        name = wrong[0]
        said = [str(found.get(name, "no such tensor")) for found in (expected, shapes)]
        raise ValueError(f"{name}: {DESCRIPTION} says {said[0]}, {WEIGHTS} says {said[1]}")
    if outline.warm_up > LONGEST_MEMORY:
        raise ValueError(f"remembers {outline.warm_up} samples; at most {LONGEST_MEMORY} can be run")
    return _loop(description)


def _loop(description: dict[str, Any]) -> ClosedLoop:
    sides = (description["repr"][side] for side in ("input", "output"))
    encoder, decoder = (_made(section, representations.Representation) for section in sides)
    predictor = _made(description["model"], models.Predictor, channels=encoder.channels, params=decoder.params)
    return ClosedLoop(predictor, encoder, decoder)


def _made(section: dict[str, Any], kind: type[nn.Module], **more: int) -> Any:
    """One of our own classes, by its name in the description."""
    target, arguments = section["_target_"], {k: v for k, v in section.items() if k != "_target_"}
    if not isinstance(target, str) or target not in CLASSES or not issubclass(CLASSES[target], kind):
        raise ValueError(f"_target_: got {target!r}; must be one of {', '.join(CLASSES)}")
    return CLASSES[target](**arguments, **more)


def _checked(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    for name, tensor in weights.items():
        if tensor.dtype != torch.float32 or not torch.isfinite(tensor).all():
            raise ValueError(f"{name}: must hold finite numbers of 32 bits")
    if weights["limit"] <= 0:
        raise ValueError(f"limit: got {float(weights['limit'])}; must be above 0")
    return weights


def _reason(error: BaseException) -> str:
    """The first line of what an error says, fit to print, not too long."""
    if isinstance(error, KeyError):
        return f"{DESCRIPTION} lacks {error}"
    return printable((str(error).splitlines() or [type(error).__name__])[0])[:300]
