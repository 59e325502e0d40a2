"""Fixtures that many tests share: a small library of songs, predictors in their loop, and run folders."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from fxemu.audio import write_wav
from fxemu.models import MLP
from fxemu.representations import MuLaw, Raw
from fxemu.rollout import ClosedLoop

torch.set_num_threads(1)

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


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Writes a small run folder: `options` are dotted names in its config, `scores` what metrics.json's test holds."""

    def make(name: str, options: dict[str, object] | None = None, **scores: object) -> Path:
        folder = tmp_path / "runs" / name
        config: dict = {"seed": 0, "effect": {"_target_": "fxemu.effects.Tanh", "gain": 5.0}, "data": {}}
        for key, value in ({"data.sample_rate": RATE} | (options or {})).items():
            *parents, last = key.split(".")
            section = config
            for parent in parents:
                section = section.setdefault(parent, {})
            section[last] = value
        test = {"esr": 0.1, "nmae": 0.2, "songs": [{"name": "band/a.mp3", "esr": 0.1}]} | scores
        for kind, pitch in (("dry", 0.1), ("target", 0.2), ("prediction", 0.3)):
            write_wav(
                folder / "audio" / f"band-a.mp3-{kind}.wav", 0.5 * torch.sin(pitch * torch.arange(2 * RATE)), RATE
            )
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        (folder / "metrics.json").write_text(json.dumps({"test": test, "train_seconds": 12.0, "parameters": 99}))
        return folder

    return make
