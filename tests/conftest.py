"""Fixtures that many tests share: a small library of songs, and predictors in their loop."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fxemu.audio import write_wav
from fxemu.models import MLP
from fxemu.representations import MuLaw, Raw
from fxemu.rollout import ClosedLoop

torch.set_num_threads(1)
# The index of the songs in these tests is not the user's.
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="fxemu-tests-")

RATE = 8000
SONGS = {"bass.wav": 4000, "drums.WAV": 4400, "lead.wav": 4800, "more/keys.wav": 5200, "more/voice.wav": 5600}
REPRESENTATIONS = {"raw": Raw, "mulaw": MuLaw}


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A folder of five songs at 8 kHz, each of another length (see SONGS) and of another loudness."""
    folder = tmp_path / "library"
    generator = torch.Generator().manual_seed(0)
    for loudness, (name, samples) in enumerate(SONGS.items(), start=1):
        noise = torch.rand(samples, generator=generator) * 2 - 1
        write_wav(folder / name, noise * 0.15 * loudness, RATE)
    return folder


@pytest.fixture
def make_loop() -> Callable[..., ClosedLoop]:
    """A small MLP between two representations, with its feedback made `loop_gain` times as strong."""

    def make(
        inputs: str = "raw", outputs: str = "raw", loop_gain: float = 5.0, limit: float = 1.2, **arguments: object
    ) -> ClosedLoop:
        torch.manual_seed(0)
        small = {"context_window": 32, "feedback_window": 16, "layers": 2, "width": 8}
        predictor = MLP(1, 1, **{**small, **arguments})
        loop = ClosedLoop(predictor, REPRESENTATIONS[inputs](), REPRESENTATIONS[outputs]())
        loop.limit.fill_(limit)
        if predictor.wet is not None:
            predictor.wet.weight.data.mul_(loop_gain)
        return loop

    return make
