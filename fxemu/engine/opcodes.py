"""The numbers in the tables that the compiled loops read: columns, kinds of step and kinds of activation."""

from __future__ import annotations

# Columns of the tables. An address a with a stride b is the first number of a row: a + b * t at sample t.
OP, OUT, OUT_STRIDE, UNITS, DRIVE, DRIVE_STRIDE, KIND, FIRST_ITEM, LAST_ITEM = range(9)
A, A_STRIDE, COUNT, B, B_STRIDE, WEIGHT = range(6)
LAYER, MIX, LOOKUP = range(3)
KINDS = (
    "identity", "tanh", "relu", "sigmoid", "softsign", "mulaw_compress", "mulaw_expand", "decay", "inverse", "clamp",
    "softmax", "argmax", "bits", "step", "modulo",
)  # fmt: skip
(
    IDENTITY,
    TANH,
    RELU,
    SIGMOID,
    SOFTSIGN,
    COMPRESS,
    EXPAND,
    DECAY,
    INVERSE,
    CLAMP,
    SOFTMAX,
    ARGMAX,
    BITS,
    STEP,
    MODULO,
) = range(len(KINDS))
