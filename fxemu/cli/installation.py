"""Diagnosis of broken or incompatible packages, after an unexpected failure."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module, metadata

# What the songs of a library are coded with.
CODECS = ("aac", "flac", "mp3", "opus", "pcm_s16le", "vorbis")


def broken_installation() -> str | None:
    """The first fault, in a line with the packages, their versions and the command that mends it; None if all is well.

    Takes seconds, since it imports and tries all of them.
    """
    for packages, works in CHECKS.items():
        try:
            works()
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            versions = " and ".join(f"{name} {_version(name)}" for name in packages)
            return f"{versions}: broken, or of versions that do not fit ({reason[:200]}); mend it: {_cure(packages)}"
    return None


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _cure(packages: tuple[str, ...]) -> str:
    """The command that installs these packages anew, within the bounds that fxemu states."""
    try:
        stated = metadata.requires("fxemu") or []
    except metadata.PackageNotFoundError:
        stated = []
    bounds = {re.match(r"[\w-]+", line)[0]: line for line in stated if "extra ==" not in line}
    return "pip install --force-reinstall " + " ".join(f'"{bounds.get(name, name)}"' for name in packages)


def _torch() -> None:
    import_module("torch")


def _torchaudio() -> None:
    torch, functional = import_module("torch"), import_module("torchaudio.functional")
    functional.resample(torch.zeros(100), 2, 1)


def _numba() -> None:
    if import_module("numba").njit(lambda x: x + 1)(1) != 2:
        raise RuntimeError("a compiled function gives a wrong result")


def _av() -> None:
    missing = set(CODECS) - set(import_module("av").codecs_available)
    if missing:
        raise RuntimeError(f"it cannot decode {', '.join(sorted(missing))}")


CHECKS: dict[tuple[str, ...], Callable[[], None]] = {
    ("torch",): _torch,
    ("torch", "torchaudio"): _torchaudio,
    ("numba", "llvmlite", "numpy"): _numba,
    ("av",): _av,
}
