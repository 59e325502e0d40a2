"""A model's two files embedded in C (as a comment) and TorchScript exports (as extra files).

fxemu plays such an export from these files, and never runs the program.
"""

from __future__ import annotations

import base64
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

from fxemu.files import printable
from fxemu.models.files import MOST_BYTES, WEIGHTS, WeightsError, check_size


def as_comment(content: Mapping[str, bytes]) -> str:
    """The files, base64-encoded, as a comment of C."""
    parts = [f"\n{name}\n{base64.encodebytes(part).decode()}" for name, part in content.items()]
    return f"/* The model that this was made from, for fxemu:\n{''.join(parts)}*/\n" if parts else ""


def from_comment(path: Path) -> dict[str, bytes]:
    check_size(path, WEIGHTS, path.stat().st_size)
    text = path.read_bytes()
    block = rb"\n((?:[A-Za-z0-9+/=]+\n)+)"
    matches = {name: re.search(rb"^" + re.escape(name.encode()) + block, text, re.MULTILINE) for name in MOST_BYTES}
    if None in matches.values():
        raise WeightsError(f"{printable(path)}: holds no model of fxemu; a C file is played if fxemu export wrote it")
    content = {name: base64.b64decode(match[1]) for name, match in matches.items()}
    for name, part in content.items():
        check_size(path, name, len(part))
    return content


def from_archive(path: Path) -> dict[str, bytes]:
    """Both files from a TorchScript file, which is a ZIP archive: its programs are not loaded."""
    with zipfile.ZipFile(path) as archive:
        entries = {
            name: [i for i in archive.infolist() if i.filename.endswith(f"/extra/{name}")] for name in MOST_BYTES
        }
        if [] in entries.values():
            raise WeightsError(f"{printable(path)}: holds no model of fxemu; it is played if fxemu export wrote it")
        for name, (entry, *_) in entries.items():
            # PyTorch does not compress them, and what is compressed may be larger than it says.
            if entry.compress_type != zipfile.ZIP_STORED:
                raise WeightsError(f"{printable(path)}: {name} in it is compressed, so it is none of ours")
            check_size(path, name, max(entry.file_size, entry.compress_size))
        return {name: archive.read(entry) for name, (entry, *_) in entries.items()}
