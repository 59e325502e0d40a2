"""Where the two files of a trained model are found: in a folder, or packed into a file that was exported from it."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path

from fxemu.files import printable
from fxemu.models.closed_loop import ClosedLoop
from fxemu.models.files import MOST_BYTES, WeightsError, from_folder, parse
from fxemu.runtimes.packing import from_archive, from_comment

# What a hostile file can provoke.
BROKEN = (OSError, ValueError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)
PACKED = {".c": from_comment, ".pt": from_archive}


def read(path: str | os.PathLike[str]) -> tuple[ClosedLoop, int]:
    """The loop in a run folder or in a file that was exported from it, in evaluation mode, and its rate in Hz.

    Nothing in it is run: no class is made that is not in CLASSES, and nothing is allocated that it does not hold.

    Args:
        path: as for `files`.

    Raises:
        WeightsError: for anything else, and for models that are damaged or do not fit each other.
    """
    return parse(files(path), printable(path))


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
        return PACKED[path.suffix](path) if path.suffix in PACKED and path.is_file() else from_folder(_folder(path))
    except WeightsError:
        raise
    except BROKEN as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{printable(path)}: broken: {printable(reason)[:300]}") from error


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
