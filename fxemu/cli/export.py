"""`fxemu export RUN --format c`: a finished run as a file for another runtime, checked before it appears."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from fxemu.cli.errors import one_line_errors
from fxemu.cli.mix_options import add_knob_option, add_oversample_option
from fxemu.emulation.locate import read_files
from fxemu.emulation.turning import parse_settings, standing
from fxemu.engine.contraction import contraction_bound
from fxemu.files import printable
from fxemu.models.closed_loop import ClosedLoop
from fxemu.models.files import DESCRIPTION, packed, parse
from fxemu.models.knobs import positions
from fxemu.runtimes import FORMATS, ExportError, Model, export
from fxemu.runtimes.nam_metadata import FIELDS


@one_line_errors()
def main(arguments: list[str]) -> None:
    """Write the file; exit 1 if the format cannot hold the model, or the check fails."""
    lines = [f"  {name:<12}{form.__doc__.splitlines()[0]}" for name, form in FORMATS.items()]
    parser = argparse.ArgumentParser(
        "fxemu export",
        description="\n".join([__doc__, "", "formats:", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, help="a run folder, a checkpoint, or what was exported from one")
    parser.add_argument("--format", choices=FORMATS, required=True)
    parser.add_argument("--output", type=Path, help="where to write it; else into the run folder, named as the run is")
    add_oversample_option(parser)
    add_knob_option(parser, "; the others at their defaults: what is exported at a setting has no controls")
    parser.add_argument("--name", help="of the emulation; else the run folder's")
    parser.add_argument(
        "--about", action="append", default=[], metavar="FIELD=VALUE", help=f"for nam, of {', '.join(FIELDS)}"
    )
    given = parser.parse_args(arguments)
    form = FORMATS[given.format]()
    content = read_files(given.run)
    loop, rate = parse(content, printable(given.run))
    if given.knob or (loop.knobs and not form.turnable):
        loop, content = _baked(loop, content, given.knob)
    model = Model(loop, rate, given.name or _name(given.run.resolve()), content, given.oversample, _fields(given.about))
    if given.output is None and not given.run.is_dir():
        raise ExportError(f"{printable(given.run)} is no folder: say with --output where to write the export")
    path = given.output or given.run / "export" / f"{model.identifier}{form.suffix}"
    found = export(model, form, path)
    print(f"{path}\n{found}")
    if (bound := contraction_bound(loop.plan())) is not None:
        print(f"its weights guarantee that any past is forgotten (-60 dB) within {bound.samples() / rate:.2g} s")


def _baked(loop: ClosedLoop, content: dict[str, bytes], words: list[str]) -> tuple[ClosedLoop, dict[str, bytes]]:
    """The model with its knobs at a setting, without knobs, and its two files."""
    names = ", ".join(f"--knob {knob.name}={knob.default:g}" for knob in loop.knobs)
    if not words:
        raise ExportError(f"this format has no knobs, so export a setting: such as {names} (the defaults)")
    baked = loop.at(positions(loop.knobs, standing(parse_settings(words))))
    return baked, packed(baked, json.loads(content[DESCRIPTION]))


def _fields(words: list[str]) -> dict[str, str]:
    """FIELD=VALUE, each given once, as a dict."""
    if broken := [word for word in words if not word.partition("=")[2]]:
        raise ExportError(f"--about {broken[0]}: must be FIELD=VALUE, such as gear_make=Fender")
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def _name(run: Path) -> str:
    """The run folder's, of a checkpoint in it too; any other file's own."""
    return run.parent.parent.name if run.parent.name == "checkpoints" else run.name
