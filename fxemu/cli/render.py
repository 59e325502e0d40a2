"""`fxemu render RUN IN OUT`: songs through a trained emulation, of any length, format and sample rate."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from pathlib import Path

import torch

from fxemu.audio.decoding import PIPE
from fxemu.audio.source import AudioError
from fxemu.cli.errors import one_line_errors
from fxemu.cli.mix_options import add_knob_option, add_mix_options, add_oversample_option
from fxemu.emulation import load
from fxemu.emulation.mix import Mix
from fxemu.emulation.render import Renderer, RenderError, feedback_sources, primed_state, render_file
from fxemu.emulation.turning import Turn, parse_settings
from fxemu.files import printable
from fxemu.library.songs import find_songs


@one_line_errors("interrupted: the song that was being rendered is left out")
def main(arguments: list[str]) -> None:
    """Render what the arguments say; errors of the user's are one line each."""
    parser = argparse.ArgumentParser("fxemu render", description=__doc__)
    parser.add_argument("run", help="a run folder, a checkpoint, an exported file or a .nam file")
    parser.add_argument("input", metavar="in", help="a song, a folder of songs, or - for WAV on stdin")
    parser.add_argument("output", metavar="out", help="a .wav or .flac, a folder, or - for WAV on stdout")
    add_mix_options(parser)
    add_oversample_option(parser)
    add_knob_option(parser, ", or seconds:value, as 0:10,5:40, or a CSV file of them")
    parser.add_argument("--prime", nargs=2, metavar=("DRY", "WET"), help="true recordings to continue from")
    parser.add_argument(
        "--feedback", metavar="silence|sine|FILE", help="feed this back instead of its own output: an effect of its own"
    )
    given = parser.parse_args(arguments)
    # A block is too small a piece of work to share.
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    failed = _render(given)
    sys.exit(int(failed))


def _render(given: argparse.Namespace) -> bool:
    """Render all; whether some song of a folder could not be."""
    mix = Mix(given.mix, given.input_gain_db, given.output_gain_db)
    pairs = songs_and_targets(given.input, given.output)
    emulation, settings = load(given.run, given.oversample), parse_settings(given.knob)
    Turn(emulation.knobs, settings, emulation.sample_rate)
    if given.oversample > 1 and (given.prime or given.feedback):
        raise RenderError("--oversample: with --prime or --feedback there is no truth between the samples")
    if given.prime and emulation.knobs:
        raise RenderError("--prime: not with knobs; export a setting with --knob first, and render that")
    if given.feedback and not emulation.loop.plan().feedback:
        raise RenderError("--feedback: this model has no feedback (such as one trained with model.feedback=false)")
    renderer = Renderer(
        emulation,
        mix,
        primed_state(emulation, *given.prime) if given.prime else None,
        feedback_sources(given.feedback, emulation.sample_rate) if given.feedback else None,
        settings,
    )
    failed = False
    for song, target in pairs:
        try:
            render_file(renderer, song, target)
        except AudioError as error:
            if len(pairs) == 1:
                raise
            print(f"error: {error}", file=sys.stderr)
            failed = True
    return failed


def songs_and_targets(source: str, target: str) -> list[tuple[str, str]]:
    """Input and output files of a rendering: one file, or all songs of a folder into the same places of another.

    Raises:
        RenderError: for a song that would be written over itself, or onto a terminal.
    """
    if target == PIPE and sys.stdout.isatty():
        raise RenderError("stdout is a terminal: put a pipe or a file behind it")
    if source == PIPE or not os.path.isdir(source):
        pairs = [(source, target)]
    else:
        if target == PIPE or os.path.isfile(target):
            raise RenderError(f"{printable(target)}: must be a folder, as {printable(source)} is one")
        songs, others = find_songs(source)
        if others:
            print(others, file=sys.stderr)
        names = [os.path.relpath(path, source) for path in songs]
        pairs = [(os.path.join(source, name), os.path.join(target, _wav(name))) for name in names]
    for song, result in pairs:
        if os.path.exists(result) and os.path.exists(song) and os.path.samefile(song, result):
            raise RenderError(f"{printable(result)}: is the input itself; give another name")
    if not pairs:
        raise RenderError(f"{printable(source)}: holds no song")
    twice = [result for result, count in Counter(result for _, result in pairs).items() if count > 1]
    if twice:
        raise RenderError(
            f"{printable(twice[0])}: two songs of {printable(source)} would be rendered into it; rename one"
        )
    return pairs


def _wav(name: str) -> str:
    """A song's name with .wav put after it if need be, so that a.mp3 and a.flac do not meet."""
    return name if Path(name).suffix.lower() == ".wav" else f"{name}.wav"
