"""`fxemu live RUN`: play through a trained emulation with an audio interface."""

from __future__ import annotations

import argparse
import math

import torch

from fxemu.cli.errors import one_line_errors
from fxemu.cli.mix_options import add_knob_option, add_mix_options, add_oversample_option
from fxemu.emulation import load
from fxemu.emulation.keys import TurnByKeys, has_keys
from fxemu.emulation.live import BLOCK_SIZES, play_live
from fxemu.emulation.mix import Mix, MixError
from fxemu.emulation.turning import parse_settings, standing
from fxemu.errors import check_sample_rate


@one_line_errors()
def main(arguments: list[str]) -> None:
    """Play as the arguments say; errors of the user's are one line."""
    parser = argparse.ArgumentParser("fxemu live", description=__doc__)
    parser.add_argument("run", help="a run folder, a checkpoint, an exported file or a .nam file")
    parser.add_argument("--block-size", type=int, default=64, help="samples in a block, 16 to 8192 (default 64)")
    parser.add_argument("--rate", type=int, metavar="HZ", help="of the interface; else the model's")
    parser.add_argument("--device", help="audio interface, by number or part of its name")
    parser.add_argument("--seconds", type=float, default=math.inf, help="how long to play (default: until Ctrl-C)")
    add_mix_options(parser)
    add_oversample_option(parser)
    add_knob_option(parser)
    given = parser.parse_args(arguments)
    torch.set_flush_denormal(True)
    mix = Mix(given.mix, given.input_gain_db, given.output_gain_db)
    if not BLOCK_SIZES[0] <= given.block_size <= BLOCK_SIZES[1]:
        raise MixError(f"--block-size: got {given.block_size}; must be from 16 to 8192 samples")
    if not given.seconds > 0:
        raise MixError(f"--seconds: got {given.seconds}; must be above 0")
    if given.rate is not None:
        check_sample_rate("--rate", given.rate)
    emulation, settings = load(given.run, given.oversample), standing(parse_settings(given.knob))
    turn = TurnByKeys(emulation.knobs, settings, emulation.sample_rate) if emulation.knobs and has_keys() else None
    if turn is None:
        emulation = emulation.at(settings)
    print(play_live(emulation, mix, given.block_size, given.device, given.seconds, given.rate, turn))
