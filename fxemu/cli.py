"""The `fxemu` command."""

from __future__ import annotations

import sys

USAGE = """fxemu trains a neural network to be an audio effect.

  fxemu train effect=distortion repr=mulaw data.library=/my/music
  fxemu train --help          every option
"""


def main() -> None:
    """Dispatch `fxemu COMMAND ...`."""
    match sys.argv[1:]:
        case ["train", *rest]:
            from fxemu import train

            train.main(rest)
        case [] | ["-h" | "--help"]:
            print(USAGE)
        case [command, *_]:
            print(f"error: no command {command!r}; there is: train\n\n{USAGE}", file=sys.stderr)
            sys.exit(2)
