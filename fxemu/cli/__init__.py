"""The `fxemu` command: each subcommand is the `main(arguments)` of one module."""

from __future__ import annotations

import sys
from importlib import import_module

from fxemu import __version__
from fxemu.cli.errors import one_line_errors

# Subcommand: (module, purpose). A module is imported only when called, so that each starts quickly.
COMMANDS = {
    "train": ("fxemu.cli.train", "train an emulation and report on it; `fxemu train --help` lists every option"),
    "render": ("fxemu.cli.render", "play songs through a trained emulation: files, folders or pipes"),
    "live": ("fxemu.cli.live", "play through a trained emulation with an audio interface"),
    "report": ("fxemu.cli.report", "open the page of a finished run: scores, plots and players"),
    "listen": ("fxemu.cli.listen", "a blind listening test of finished runs: ABX and MUSHRA"),
    "compare": (
        "fxemu.cli.compare",
        "put finished runs side by side: a table, CSV and a page with plots and players",
    ),
    "export": ("fxemu.cli.export", "a run as a file for another runtime: C, LV2, ONNX, NAM and others"),
    "check-pair": ("fxemu.cli.check_pair", "say what is the matter with a dry and a wet recording"),
    "look": ("fxemu.cli.look", "say what a box is, from a dry and a wet recording"),
    "capture": (
        "fxemu.cli.capture",
        "make the file to play through a box, play it, and take the recording back",
    ),
    "prepare": ("fxemu.cli.prepare", "run an effect that needs whole songs ahead of training, on all cores or on Ray"),
    "library": ("fxemu.cli.library", "measure, list and check a music library; `fxemu library --help`"),
}


def usage() -> str:
    lines = [f"  fxemu {name:<12}{purpose}" for name, (_, purpose) in COMMANDS.items()]
    return "fxemu trains a neural network to be an audio effect.\n\n" + "\n".join(lines) + "\n"


def main() -> None:
    """Dispatch `fxemu COMMAND ...`."""
    match sys.argv[1:]:
        case [] | ["-h" | "--help"]:
            print(usage())
        case ["--version"]:
            print(f"fxemu {__version__}")
        case [command, *rest] if command in COMMANDS:
            if "" in rest:
                sys.exit(f"error: fxemu {command}: an argument is empty; is a variable of the shell?")
            with one_line_errors():
                import_module(COMMANDS[command][0]).main(rest)
        case [command, *_]:
            print(f"error: no command {command!r}; there is: {', '.join(COMMANDS)}\n\n{usage()}", file=sys.stderr)
            sys.exit(2)
