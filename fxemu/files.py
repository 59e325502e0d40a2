"""Writing files that appear whole or not at all, whatever happens on the way."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any


def write_whole(path: Path, content: bytes) -> None:
    """Write under a temporary name beside it, then rename; OSError, and no file left behind, if that cannot be done."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_bytes(content)
        appear(temporary, path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def appear(temporary: Path, path: Path) -> None:
    """Give a finished file its name, once it is on the disk: not even a power cut then leaves half of it."""
    with open(temporary, "r+b") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)


def printable(path: str | os.PathLike[str]) -> str:
    """A path fit for a terminal, a log and a database: newlines and bytes that are not UTF-8 as escapes."""
    text = os.fspath(path).encode("utf-8", "backslashreplace" if os.name == "nt" else "surrogateescape")
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text.decode("utf-8", "backslashreplace"))


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write it whole or not at all."""
    write_whole(path, (json.dumps(content, indent=2) + "\n").encode())
