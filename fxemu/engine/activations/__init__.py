"""The activations that a plan may name: one record each, from which every engine and exporter takes its own."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from torch import Tensor

from fxemu.engine.activations import classes, companding, hidden, shapes
from fxemu.engine.activations.companding import mulaw_compress, mulaw_expand
from fxemu.engine.activations.record import LANES, OPTIONS, Record
from fxemu.engine.plan import Activation

RECORDS: dict[str, Record] = hidden.RECORDS | companding.RECORDS | shapes.RECORDS | classes.RECORDS
# Those that a user may choose for a hidden layer.
HIDDEN = tuple(name for name in hidden.RECORDS if name != "identity")
# Of the text of all records: compiled code is kept for as long as it is the same.
VERSION = sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))).hexdigest()[:16]


def hidden_activation(kind: str) -> Activation:
    """The activation of a hidden layer by name; ValueError lists what there is."""
    if kind not in HIDDEN:
        raise ValueError(f"activation: got {kind!r}; choose one of {', '.join(HIDDEN)}")
    return Activation(kind)


def activate(x: Tensor, activation: Activation) -> Tensor:
    """x (B, U, T) to y of the same shape, with gradient."""
    return RECORDS[activation.kind].torch(x, activation.parameter)


__all__ = [
    "HIDDEN",
    "LANES",
    "OPTIONS",
    "RECORDS",
    "VERSION",
    "Record",
    "activate",
    "hidden_activation",
    "mulaw_compress",
    "mulaw_expand",
]
