"""Find the two files of a trained model: in a folder, or packed into a file exported from it."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path

from fxemu.files import printable
from fxemu.models.closed_loop import ClosedLoop
from fxemu.models.files import MOST_BYTES, WeightsError, from_folder, parse
from fxemu.runtimes.packing import from_archive, from_comment

# Errors that a damaged or hostile file can provoke.
BROKEN = (OSError, ValueError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)
PACKED = {".c": from_comment, ".pt": from_archive}


def read_model(path: str | os.PathLike[str]) -> tuple[ClosedLoop, int]:
    """Read the model in a run folder or in a file exported from it: in evaluation mode, and its rate in Hz.

    No code in it is run: only `models.files.CLASSES` are constructed, and no tensor is larger than its data on disk.

    Args:
        path: as for `read_files`.

    Raises:
        WeightsError: for anything else, and for files that are damaged or do not fit each other.
    """
    return parse(read_files(path), printable(path))


def read_files(path: str | os.PathLike[str]) -> dict[str, bytes]:
    """Read both files; returns their contents by name.

    Args:
        path: a run folder, one of its checkpoints or either file; an exported LV2 bundle or ONNX folder, which hold
            both; or a C or TorchScript file, into which both are packed.

    Raises:
        WeightsError: where they are missing, or too large for a model of fxemu.
    """
    path = Path(path)
    try:
        unpack = PACKED.get(path.suffix.lower())
        return unpack(path) if unpack and path.is_file() else from_folder(_folder(path))
    except WeightsError:
        raise
    except BROKEN as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{printable(path)}: broken: {printable(reason)[:300]}") from error


def _folder(path: Path) -> Path:
    """The folder that holds both files."""
    if path.suffix.lower() == ".ckpt":
        # Training also writes the weights of its best and last checkpoint as plain data, and only those are read.
        place = path.parent.parent if path.name.lower() == "best.ckpt" else path.with_suffix("")
        if not place.is_dir():
            fault = f"{printable(place)}/, which training writes when it ends, is missing"
            raise WeightsError(f"{printable(path)}: is no checkpoint of a run that has ended: {fault}")
        return place
    if not path.exists():
        raise WeightsError(f"{printable(path)}: no such run; give a run folder, or a file that was exported from one")
    if path.is_file() and path.name not in MOST_BYTES and path.suffix.lower() != ".onnx":
        raise WeightsError(f"{printable(path)}: is no run of ours, and no file that was exported from one")
    return path if path.is_dir() else path.parent
