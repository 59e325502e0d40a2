"""Writing files that appear whole or not at all, whatever happens on the way."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write under a temporary name beside it, then rename; OSError, and no file left behind, if that cannot be done.

    The content is on the disk before it has its name, so that not even a power cut leaves half of it.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
