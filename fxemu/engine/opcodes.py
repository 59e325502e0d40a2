"""The numbers in the tables that the compiled loops read: columns, kinds of step and kinds of activation."""

from __future__ import annotations

from fxemu.engine.activations import RECORDS

# Columns of the tables. An address a with a stride b is the first number of a row: a + b * t at sample t.
OP, OUT, OUT_STRIDE, UNITS, DRIVE, DRIVE_STRIDE, KIND, FIRST_ITEM, LAST_ITEM = range(9)
A, A_STRIDE, COUNT, B, B_STRIDE, WEIGHT = range(6)
LAYER, MIX, LOOKUP = range(3)
# The number of an activation is its place here.
KINDS = tuple(RECORDS)
