"""Where the two files of a trained model are found: in a folder, or packed into a file that was exported from it.

An exported program (C, LV2, ONNX, TorchScript) carries the model that it was made from as data, so that fxemu plays
that and never runs a program that it was given.
"""

from __future__ import annotations

import base64
import os
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from fxemu.decoding import printable

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
# No model of ours comes near these; a file that claims more is refused before anything is allocated.
MOST_BYTES = {WEIGHTS: 200_000_000, DESCRIPTION: 16_000}
# What a hostile file can provoke.
BROKEN = (OSError, ValueError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)


class WeightsError(ValueError):
    """Files that are no trained emulation of ours; the message names them and says what is wrong."""


def files(path: str | os.PathLike[str]) -> dict[str, bytes]:
    """Both files by name, from where they are.

    Args:
        path: a run folder, one of its checkpoints or either file; an exported LV2 bundle or ONNX folder, which hold
            them too; or a C or TorchScript file, in which they are packed.

    Raises:
        WeightsError: where they are not, or too large to be ours.
    """
    path = Path(path)
    try:
        return PACKED[path.suffix](path) if path.suffix in PACKED and path.is_file() else _from_folder(_folder(path))
    except WeightsError:
        raise
    except BROKEN as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{printable(path)}: broken: {printable(reason)[:300]}") from error


def as_comment(content: Mapping[str, bytes]) -> str:
    """Both files as a comment of C."""
    parts = [f"\n{name}\n{base64.encodebytes(part).decode()}" for name, part in content.items()]
    return f"/* The model that this was made from, for fxemu:\n{''.join(parts)}*/\n" if parts else ""


def _folder(path: Path) -> Path:
    """The folder of both files."""
    if path.suffix == ".ckpt":
        # Training leaves the weights of its best and of its last checkpoint as data too, and only those are read.
        return path.parent.parent if path.name == "best.ckpt" else path.with_suffix("")
    if not path.exists():
        raise WeightsError(f"{printable(path)}: no such run; give a run folder, or a file that was exported from one")
    if path.is_file() and path.name not in MOST_BYTES and path.suffix != ".onnx":
        raise WeightsError(f"{printable(path)}: is no run of ours, and no file that was exported from one")
    return path if path.is_dir() else path.parent


def _from_folder(folder: Path) -> dict[str, bytes]:
    for name in MOST_BYTES:
        if not (folder / name).is_file():
            raise WeightsError(
                f"{printable(folder)}: has no {name}, which training writes when it ends (python train.py resume=RUN)"
            )
        _check_size(folder / name, name, (folder / name).stat().st_size)
    return {name: (folder / name).read_bytes() for name in MOST_BYTES}


def _from_comment(path: Path) -> dict[str, bytes]:
    _check_size(path, WEIGHTS, path.stat().st_size)
    text = path.read_bytes()
    block = rb"\n((?:[A-Za-z0-9+/=]+\n)+)"
    found = {name: re.search(rb"^" + re.escape(name.encode()) + block, text, re.MULTILINE) for name in MOST_BYTES}
    if None in found.values():
        raise WeightsError(f"{printable(path)}: holds no model of fxemu; a C file is played if fxemu export wrote it")
    content = {name: base64.b64decode(match[1]) for name, match in found.items()}
    for name, part in content.items():
        _check_size(path, name, len(part))
    return content


def _from_archive(path: Path) -> dict[str, bytes]:
    """From a TorchScript file, which is a ZIP archive: its programs are not loaded."""
    with zipfile.ZipFile(path) as archive:
        found = {name: [i for i in archive.infolist() if i.filename.endswith(f"/extra/{name}")] for name in MOST_BYTES}
        if [] in found.values():
            raise WeightsError(f"{printable(path)}: holds no model of fxemu; it is played if fxemu export wrote it")
        for name, (place, *_) in found.items():
            # PyTorch does not compress them, and what is compressed may be larger than it says.
            if place.compress_type != zipfile.ZIP_STORED:
                raise WeightsError(f"{printable(path)}: {name} in it is compressed, so it is none of ours")
            _check_size(path, name, max(place.file_size, place.compress_size))
        return {name: archive.read(place) for name, (place, *_) in found.items()}


PACKED = {".c": _from_comment, ".pt": _from_archive}


def _check_size(path: Path, name: str, size: int) -> None:
    if size > MOST_BYTES[name]:
        raise WeightsError(f"{printable(path)}: is larger than {MOST_BYTES[name]} bytes, so it is none of ours")
