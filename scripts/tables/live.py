"""Plays the default model live for 60 s through an interface that keeps time, on one core (1 minute)."""

from __future__ import annotations

import argparse
import os
import sys

import torch

from fxemu import live
from fxemu.emulation import Emulation
from fxemu.models import MLP
from fxemu.representations import Raw
from fxemu.rollout import ClosedLoop
from fxemu.sound import Sound
from tables.common import ROOT, SAMPLE_RATE, one_thread

SECONDS, BLOCK = 60, 64


def run(options: argparse.Namespace) -> None:
    """Print what `fxemu live` counts, and how many blocks the interface itself found late."""
    # The interface of the tests: its thread and the model's share the core.
    sys.path.append(str(ROOT / "tests"))
    from fake_device import interface

    one_thread()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.manual_seed(0)
    played: list = []
    recording = torch.rand(SAMPLE_RATE) - 0.5
    device = interface(recording.numpy(), played)
    sys.modules["sounddevice"] = device
    emulation = Emulation(ClosedLoop(MLP(1, 1, feedback_window=32), Raw(), Raw()), SAMPLE_RATE)
    print(live.perform(emulation, Sound(), BLOCK, None, SECONDS))
    print(f"late by the interface's own clock: {device.streams[0].late} of {len(played)} blocks")
