"""Models of other runtimes as plans that our engines play: .nam files; JSON of RTNeural, AIDA-X and Proteus."""

from __future__ import annotations

import os
from pathlib import Path

from fxemu.files import printable
from fxemu.runtimes import nam, proteus, rtneural
from fxemu.runtimes.foreign import Foreign, ForeignError, read_json

SUFFIXES = (".nam", ".json", ".aidax")
# By a key that the others do not have.
PARSERS = {"architecture": nam.parse, "layers": rtneural.parse, "state_dict": proteus.parse}
# What a hostile file can provoke on its way through the parsers.
BROKEN = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
)


def read(path: str | os.PathLike[str]) -> Foreign:
    """The model in a file.

    Raises:
        ForeignError: for a file that is missing, too large, not JSON, of a kind that cannot be played, or whose
            weights do not fit.
    """
    try:
        data = read_json(Path(path))
        kinds = [parse for key, parse in PARSERS.items() if key in data]
        if not kinds:
            raise ValueError("it is neither a .nam file nor JSON of RTNeural, AIDA-X or Proteus")
        return kinds[0](data)
    except OSError as error:
        raise ForeignError(f"{printable(path)}: cannot be read ({error.strerror})") from error
    except BROKEN as error:
        raise ForeignError(f"{printable(path)}: no model that can be played: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it has no {printable(str(error.args[0]))[:40]}"
    if isinstance(error, AttributeError | IndexError | TypeError | RecursionError):
        return "a part of it is of another kind than in such files"
    return printable((str(error).splitlines() or [type(error).__name__])[0])[:200]


__all__ = ["SUFFIXES", "Foreign", "ForeignError", "read"]
