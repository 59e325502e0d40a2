"""Saved models come back as they were; hostile files get one line, run nothing and allocate nothing."""

import json
import math
import os
import pickle
import resource
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fxemu import models
from fxemu.emulation.locate import read_model
from fxemu.engine.streaming.stream import render
from fxemu.models import GRU
from fxemu.models.closed_loop import ClosedLoop
from fxemu.models.files import DESCRIPTION, WEIGHTS, WeightsError, save
from fxemu.representations import MuLaw, Raw

RAW = {"_target_": "fxemu.representations.Raw"}
MLP = {"_target_": "fxemu.models.MLP", "context_window": 32, "feedback_window": 16, "layers": 2, "width": 8}


@pytest.fixture
def saved(tmp_path, make_loop):
    """A loop and the folder that holds it."""
    loop = make_loop(limit=0.7)
    save(loop, {"data": {"sample_rate": 8000}, "model": MLP, "repr": {"input": RAW, "output": RAW}}, tmp_path)
    return loop, tmp_path


def test_it_comes_back_from_the_folder_and_from_its_files(saved):
    loop, folder = saved
    for place in (folder, folder / WEIGHTS, folder / DESCRIPTION, folder / "checkpoints" / "best.ckpt"):
        again, rate = read_model(place)
        assert rate == 8000 and type(again.predictor) is type(loop.predictor)
        assert loop.state_dict().keys() == again.state_dict().keys()
        assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in loop.state_dict().items())
    assert {path.name for path in folder.iterdir()} == {WEIGHTS, DESCRIPTION}


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("ConvNet", {"width": 4, "dilations": [1, 2]}),
        ("Dynamics", {"knees": 3, "taps": 8}),
        ("GRU", {"width": 3, "filter_taps": 12}),
        ("LRU", {"width": 3}),
        ("LSTM", {"width": 3}),
        ("Linear", {"context_window": 8, "feedback_window": 4}),
        ("MLP", {"width": 4}),
        ("OctaveGain", {}),
        ("Oscillator", {"harmonics": 3}),
        ("PeriodicFilter", {"context_window": 6, "rank": 3, "harmonics": 4}),
        ("WaveNet", {"width": 4, "dilations": [1, 2]}),
    ],
)
def test_each_family_comes_back(family, options, tmp_path):
    loop = ClosedLoop(getattr(models, family)(1, 1, **options), Raw(), Raw())
    model = {"_target_": f"fxemu.models.{family}", **options}
    save(loop, {"data": {"sample_rate": 44_100}, "model": model, "repr": {"input": RAW, "output": RAW}}, tmp_path)
    again = read_model(tmp_path)[0].state_dict()
    assert again.keys() == loop.state_dict().keys()
    assert all(torch.equal(tensor, again[name]) for name, tensor in loop.state_dict().items())


@pytest.mark.parametrize("gain", ["gain", "dry_gain"])
def test_files_of_before_a_gain_have_none(saved, gain):
    _, folder = saved
    save_file({name: x for name, x in load_file(folder / WEIGHTS).items() if name != gain}, folder / WEIGHTS)
    assert getattr(read_model(folder)[0], gain) == 1


def test_dynamics_of_before_a_key_and_a_slow_stage_have_none(tmp_path):
    loop = ClosedLoop(models.Dynamics(1, 1, knees=3), Raw(), Raw())
    model = {"_target_": "fxemu.models.Dynamics", "knees": 3}
    save(loop, {"data": {"sample_rate": 44_100}, "model": model, "repr": {"input": RAW, "output": RAW}}, tmp_path)
    later = {f"predictor.{name}" for name in ("key", "key_rates", "slow", "slow_rates", "max_gain")}
    kept = {name: x for name, x in load_file(tmp_path / WEIGHTS).items() if name not in later}
    kept["predictor.rates"] = kept["predictor.rates"][1:].contiguous()
    save_file(kept, tmp_path / WEIGHTS)
    dry = torch.sin(torch.arange(2000) / 10)
    assert torch.allclose(render(read_model(tmp_path)[0], dry), render(loop, dry), atol=1e-6)


def test_files_of_before_the_plain_channels_have_none(tmp_path):
    sides = MuLaw(plain=False, correction=False), MuLaw(plain=False, correction=False)
    loop = ClosedLoop(GRU(1, 1, width=3), *sides)
    mulaw = {"_target_": "fxemu.representations.MuLaw", "mu": 255.0}
    model = {"_target_": "fxemu.models.GRU", "width": 3}
    save(loop, {"data": {"sample_rate": 44_100}, "model": model, "repr": {"input": mulaw, "output": mulaw}}, tmp_path)
    again = read_model(tmp_path)[0]
    assert (again.input_repr.channels, again.output_repr.params) == (1, 1)


def describe(folder: Path, **changes: object) -> None:
    path = folder / DESCRIPTION
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def declare(folder: Path, header: dict) -> None:
    """A safetensors file with this header, true or not."""
    text = json.dumps(header).encode()
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(text)) + text)


def reweigh(folder: Path, **changes: torch.Tensor) -> None:
    save_file(load_file(folder / WEIGHTS) | changes, folder / WEIGHTS)


class Payload:
    def __reduce__(self):
        return os.system, ("touch ran",)


HUGE = {"limit": {"dtype": "F32", "shape": [25_000_000_000], "data_offsets": [0, 100_000_000_000]}}
HOSTILE = {
    "a pickle": (lambda f: (f / WEIGHTS).write_bytes(pickle.dumps(Payload())), "no safetensors file"),
    "a checkpoint": (lambda f: torch.save(Payload(), f / WEIGHTS), "no safetensors file"),
    "empty": (lambda f: (f / WEIGHTS).write_bytes(b""), "no safetensors file"),
    "cut off": (lambda f: os.truncate(f / WEIGHTS, 1000), "cut off"),
    "cut off by a byte": (lambda f: os.truncate(f / WEIGHTS, (f / WEIGHTS).stat().st_size - 1), "cut off"),
    "100 GB declared": (lambda f: declare(f, HUGE), "cut off"),
    "100 GB of nothing": (lambda f: os.truncate(f / WEIGHTS, 100_000_000_000), "larger than"),
    "a header of 2^60 bytes": (lambda f: (f / WEIGHTS).write_bytes(struct.pack("<Q", 2**60)), "no safetensors file"),
    "a path for a name": (lambda f: reweigh(f, **{"../../x": torch.ones(3)}), "../../x: model.json says no"),
    "a tensor more": (lambda f: reweigh(f, more=torch.ones(3)), "more: model.json says no such tensor"),
    "another shape": (lambda f: reweigh(f, limit=torch.ones(3)), r"limit: model.json says \(\)"),
    "halves": (lambda f: reweigh(f, limit=torch.tensor(1.0).half()), "limit: must hold finite"),
    "not a number": (lambda f: reweigh(f, limit=torch.tensor(float("nan"))), "limit: must hold finite"),
    "a negative limit": (lambda f: reweigh(f, limit=torch.tensor(-1.0)), "limit: got -1.0"),
    "os.system": (lambda f: describe(f, model={"_target_": "os.system", "command": "touch ran"}), "got 'os.system'"),
    "a class of torch": (lambda f: describe(f, model={"_target_": "torch.nn.Linear"}), "got 'torch.nn.Linear'"),
    "an effect of ours": (lambda f: describe(f, model={"_target_": "fxemu.effects.Command"}), "_target_: got"),
    "a representation as the model": (lambda f: describe(f, model=RAW), "_target_: got"),
    "a list for a target": (lambda f: describe(f, model={"_target_": [1]}), "_target_: got"),
    "a width that lies": (lambda f: describe(f, model=MLP | {"width": 10**9}), "model.json says"),
    "a width beyond all": (lambda f: describe(f, model=MLP | {"width": 10**30}), "broken"),
    "endless layers": (lambda f: describe(f, model=MLP | {"layers": 10**12}), "says 1000000000000 layers"),
    "endless dilations": (
        lambda f: describe(f, model={"_target_": "fxemu.models.WaveNet", "arrays": 20, "dilations": [1] * 999}),
        "says 19980 layers",
    ),
    "endless knees": (
        lambda f: describe(f, model={"_target_": "fxemu.models.Dynamics", "knees": 10**9}),
        "got knees 1000000000",
    ),
    "another argument": (lambda f: describe(f, model=MLP | {"path": "/etc/passwd"}), "MLP has no such argument"),
    "channels given": (lambda f: describe(f, model=MLP | {"channels": 1}), "multiple values"),
    "out of range": (lambda f: describe(f, model=MLP | {"context_window": 0}), "context_window: got 0"),
    "a text for a number": (lambda f: describe(f, model=MLP | {"width": "8"}), "width: got '8'; must be a whole"),
    "a text for a truth": (lambda f: describe(f, model=MLP | {"feedback": "maybe"}), "must be true or false"),
    "a rate of 1 Hz": (lambda f: describe(f, sample_rate=1), "sample_rate: got 1"),
    "a rate that is true": (lambda f: describe(f, sample_rate=True), "sample_rate: got True"),
    "another version": (lambda f: describe(f, version=99), "version"),
    "no model": (lambda f: (f / DESCRIPTION).write_text('{"version": 1, "sample_rate": 8000}'), "lacks 'model'"),
    "a list": (lambda f: (f / DESCRIPTION).write_text("[]"), "no description"),
    "no JSON": (lambda f: (f / DESCRIPTION).write_text("!!python/object:os.system"), "broken"),
    "deep JSON": (lambda f: (f / DESCRIPTION).write_text("[" * 15_000), "broken"),
    "long JSON": (lambda f: (f / DESCRIPTION).write_text("[" * 100_000), "larger than"),
    "no text": (lambda f: (f / DESCRIPTION).write_bytes(b"\xff\xfe\x00"), "broken"),
    "half of it": (lambda f: (f / DESCRIPTION).unlink(), "has no model.json"),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "message"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_one_line(saved, monkeypatch, spoil, message):
    _, folder = saved
    monkeypatch.chdir(folder)
    spoil(folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(WeightsError, match=message) as caught:
        read_model(folder)
    assert len(str(caught.value).splitlines()) == 1 and str(caught.value).startswith(str(folder))
    assert not (folder / "ran").exists()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, "kB"


@pytest.mark.parametrize(
    ("samples", "message"),
    [(10**12, "remembers 1000000000000 samples"), (512.0, "memory_samples: got 512.0"), (math.nan, "got nan")],
)
def test_a_memory_that_no_tensor_shows_is_bounded(tmp_path, make_loop, samples, message):
    lstm = {"_target_": "fxemu.models.LSTM", "width": 5, "memory_samples": samples}
    config = {"data": {"sample_rate": 8000}, "model": lstm, "repr": {"input": RAW, "output": RAW}}
    save(make_loop(model="lstm"), config, tmp_path)
    with pytest.raises(WeightsError, match=message):
        read_model(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "no such run"),
        ("checkpoints/last.ckpt", r"last\.ckpt: is no checkpoint .*/last/, which training writes"),
        ("song.wav", "is no run of ours"),
        ("empty", "has no model.safetensors"),
    ],
)
def test_what_is_no_run_is_named(tmp_path, name, message):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "empty").mkdir()
    for file in ("checkpoints/last.ckpt", "song.wav"):
        (tmp_path / file).write_bytes(b"")
    with pytest.raises(WeightsError, match=message):
        read_model(tmp_path / name)


def test_what_may_not_be_read_is_one_line(saved, monkeypatch):
    monkeypatch.setattr(Path, "is_file", lambda path: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(WeightsError, match=r"broken: .*Permission denied"):
        read_model(saved[1])


def test_importing_fxemu_costs_nothing():
    code = (
        "import sys, fxemu; assert callable(fxemu.load) and 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent.parent.parent).returncode == 0
