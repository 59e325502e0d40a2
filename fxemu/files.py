"""Atomic writing of files, whole or not at all, and paths as printable text."""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

# Arguments of our classes that files of earlier versions lack, and what those versions did.
EARLIER = {"fxemu.representations.MuLaw": {"plain": False, "correction": False}}


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name beside it, then rename it; on an error no file is left behind."""
    temporary = temporary_beside(path)
    try:
        temporary.write_bytes(content)
        rename_synced(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def temporary_beside(path: Path) -> Path:
    """A name in the folder of `path` that no other process or thread uses, however long that of `path` is."""
    return path.with_name(f".fxemu-{secrets.token_hex(8)}.part")


def rename_synced(temporary: Path, path: Path) -> None:
    """Rename a finished file once it is on the disk, so that not even a power cut leaves half of it."""
    with open(temporary, "r+b") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)


def printable(path: str | os.PathLike[str]) -> str:
    """A path as text for a terminal, a log or a database: newlines and bytes that are not UTF-8 are escaped."""
    text = os.fspath(path).encode("utf-8", "backslashreplace" if os.name == "nt" else "surrogateescape")
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text.decode("utf-8", "backslashreplace"))


def read_at_most(path: Path, most_bytes: int) -> bytes:
    """The content of a file; ValueError where it is larger than `most_bytes`, before anything is read."""
    if path.stat().st_size > most_bytes:
        raise ValueError(f"{printable(path.name)} is larger than {most_bytes} bytes")
    return path.read_bytes()


def parse_json(content: bytes) -> Any:
    """The value in a JSON file in UTF-8, -16 or -32, with a byte order mark or without.

    Raises:
        ValueError: if there is none; the message says where it breaks off.
    """
    if not content.strip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n"):
        raise ValueError("it is empty")
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON, or damaged, from line {error.lineno}, column {error.colno} on") from error
    except UnicodeDecodeError as error:
        raise ValueError("it is no JSON, nor any other text") from error


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file, indented, whole or not at all."""
    write_whole(path, (json.dumps(content, indent=2) + "\n").encode())
