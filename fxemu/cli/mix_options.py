"""Options of playing that several commands share."""

from __future__ import annotations

import argparse


def add_mix_options(parser: argparse.ArgumentParser) -> None:
    """The arguments of a `Mix`, under their own names."""
    parser.add_argument("--mix", type=float, default=1.0, help="share of wet, 0 to 1 (default 1)")
    parser.add_argument("--input-gain-db", type=float, default=0.0, help="on the model's input, -60 to 60")
    parser.add_argument("--output-gain-db", type=float, default=0.0, help="on the result, -60 to 60")


def add_knob_option(parser: argparse.ArgumentParser, also: str = "") -> None:
    """The argument by which a knob is set, given as often as there are knobs; the others stay at their defaults."""
    parser.add_argument(
        "--knob", action="append", default=[], metavar="NAME=VALUE", help=f"a setting, such as drive_db=30{also}"
    )


def add_oversample_option(parser: argparse.ArgumentParser) -> None:
    """The argument by which an `Emulation` is oversampled."""
    parser.add_argument(
        "--oversample", type=int, default=1, metavar="2|4|8", help="times the rate inside, against aliasing (default 1)"
    )
