"""Fixtures that many tests share: a small library of songs, predictors in their loop, and run folders."""

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import yaml
from helpers.models import make as make_model
from helpers.models import wet_weights

from fxemu.audio.tensors import write_wav
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import MuLaw, Raw

torch.set_num_threads(1)
# The index of the songs in these tests is not the user's.
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="fxemu-tests-")

# Tests send it under nohup, too.
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

RATE = 8000
SONGS = {"bass.wav": 4000, "drums.WAV": 4400, "lead.wav": 4800, "more/keys.wav": 5200, "more/voice.wav": 5600}
REPRESENTATIONS = {"raw": Raw, "mulaw": MuLaw}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files whose tests take longest first, so that at the end no process waits for another."""
    system = Path(__file__).parent / "system"
    items.sort(key=lambda item: not item.path.is_relative_to(system))


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A folder of five songs at 8 kHz, each of another length (see SONGS) and of another loudness."""
    folder = tmp_path / "library"
    generator = torch.Generator().manual_seed(0)
    for loudness, (name, samples) in enumerate(SONGS.items(), start=1):
        noise = torch.rand(samples, generator=generator) * 2 - 1
        write_wav(folder / name, noise * 0.15 * loudness, RATE)
    return folder


def mount(*arguments: str) -> None:
    """Run `mount`, or skip the test where that is not allowed."""
    try:
        subprocess.run(["mount", *arguments], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("may not mount file systems here")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Makes a disk of so many kB, or changes its size."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def make(size_kb: int) -> Path:
        mount(
            *(
                ["-o", f"remount,size={size_kb}k"]
                if disk.is_mount()
                else ["-t", "tmpfs", "-o", f"size={size_kb}k", "t"]
            ),
            str(disk),
        )
        return disk

    yield make
    if disk.is_mount():
        subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder that not even root can write to."""
    folder = tmp_path / "read only"
    folder.mkdir()
    mount("--bind", str(folder), str(folder))
    mount("-o", "remount,ro,bind", str(folder))
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def make_loop() -> Callable[..., ClosedLoop]:
    """A small predictor between two representations, with its feedback made `loop_gain` times as strong."""

    def make(
        inputs: str = "raw",
        outputs: str = "raw",
        model: str = "mlp",
        loop_gain: float = 5.0,
        limit: float = 1.2,
        **arguments: object,
    ) -> ClosedLoop:
        encoder, decoder = REPRESENTATIONS[inputs](), REPRESENTATIONS[outputs]()
        predictor = make_model(model, encoder.channels, decoder.params, **arguments)
        loop = ClosedLoop(predictor, encoder, decoder)
        loop.limit.fill_(limit)
        if predictor.feedback:
            wet_weights(predictor, model).mul_(loop_gain)
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
