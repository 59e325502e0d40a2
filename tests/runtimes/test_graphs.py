"""TorchScript and ONNX files: loaded without fxemu, and as the renderer."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.models import MODELS, make

from fxemu.engine.step import PlanStep
from fxemu.engine.streaming.stream import render
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import Binary, MuLaw, OneHot, OneHotResidual, Raw
from fxemu.runtimes import ExportError, Model, export
from fxemu.runtimes.onnx import WholeSong
from fxemu.runtimes.torchscript import TorchScript

CASES = [(family, Raw, feedback) for family in (*MODELS, "wavenet, gated, one array") for feedback in (True, False)]
CASES += [("mlp", representation, True) for representation in (MuLaw, Binary, OneHot, OneHotResidual)]


def model(family: str, representation: type, feedback: bool) -> Model:
    encoder, decoder = representation(), representation()
    return Model(
        ClosedLoop(make(family, encoder.channels, decoder.params, feedback=feedback), encoder, decoder), 44_100
    )


@pytest.mark.parametrize(("family", "representation", "feedback"), CASES)
def test_a_step_after_another_is_the_renderer(family, representation, feedback):
    given = model(family, representation, feedback)
    dry, wet = given.reference_pair(150)
    step, played = PlanStep(given.loop), []
    state = step.start
    for sample in dry:
        out, *state = step(sample[None], *state)
        played.append(out)
    assert (torch.cat(played) - wet).abs().max() < 1e-5


@pytest.mark.parametrize("family", MODELS)
@torch.no_grad()
def test_a_step_begins_where_silence_ends(family):
    """As `step.onnx` and TorchScript do: at rest nothing moves."""
    loop = model(family, Raw, True).loop
    step, played = PlanStep(loop), []
    state, rest = step.start, render(loop, torch.zeros(88_200))[-1]
    for _ in range(100):
        out, *state = step(torch.zeros(1), *state)
        played.append(out)
    assert (torch.cat(played) - rest).abs().max() < 1e-5


# A linear recurrent unit is complex, and ONNX has no complex numbers.
@pytest.mark.parametrize("family", [f for f in MODELS if make(f).vectorised and f != "lru"])
@torch.no_grad()
def test_a_whole_song_at_once_is_the_renderer(family):
    given, lengths = model(family, Raw, False), []
    given.loop.gain.fill_(0.25)
    dry, wet = given.reference_pair(400)
    given.loop.predictor.register_forward_pre_hook(lambda _, signals: lengths.append(signals[0].shape[-1]))
    assert (WholeSong(given)(dry) - wet).abs().max() < 1e-5
    assert lengths == [given.loop.warm_up + 400], "more silence is played than the windows hold"


def test_torchscript_is_played_without_fxemu(tmp_path):
    given = model("gru", Raw, True)
    assert "TorchScript: within" in export(given, TorchScript(), tmp_path / "x.pt")
    dry, wet = given.reference_pair(400)
    np.save(tmp_path / "dry.npy", dry.numpy())
    program = (
        "import sys, numpy, torch\n"
        "player = torch.jit.load('x.pt')\n"
        "dry = torch.from_numpy(numpy.load('dry.npy'))\n"
        "first = player(dry); player.reset(); again = player(dry)\n"
        "assert torch.equal(first, again) and 'fxemu' not in sys.modules\n"
        "numpy.save('wet.npy', torch.cat((first, torch.tensor([float(player.sample_rate)]))).numpy())\n"
    )
    # -I: nothing of this folder or the environment is found.
    subprocess.run([sys.executable, "-I", "-W", "ignore", "-c", program], cwd=tmp_path, check=True)
    played = np.load(tmp_path / "wet.npy")
    assert np.abs(played[:-1] - wet.numpy()).max() < 1e-5
    assert played[-1] == 44_100


def test_torchscript_check_sees_another_model(tmp_path):
    export(model("mlp", Raw, True), TorchScript(), tmp_path / "x.pt")
    with pytest.raises(ExportError, match="away from the model"):
        TorchScript().check(model("gru", Raw, True), tmp_path / "x.pt")


def test_onnx_says_what_to_install(tmp_path, monkeypatch):
    from fxemu.runtimes.onnx import Onnx

    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ExportError, match=r'onnx is not installed: pip install "fxemu\[onnx\]"'):
        export(model("mlp", Raw, True), Onnx(), tmp_path / "x-onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("family", "representation", "feedback"),
    [
        ("mlp", Raw, True),
        ("gru", Raw, False),
        ("lstm", Raw, False),
        ("lru", Raw, False),
        ("wavenet", Raw, False),
        ("convnet", Raw, False),
        ("linear", Raw, True),
        ("dynamics", Raw, False),
        ("mlp", MuLaw, False),
        ("mlp", Binary, False),
        ("mlp", OneHot, False),
        ("mlp", OneHotResidual, False),
    ],
)
def test_onnx_is_played_by_onnx_runtime(family, representation, feedback, tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from fxemu.runtimes.onnx import Onnx

    found = export(model(family, representation, feedback), Onnx(), Path(tmp_path / "x-onnx"))
    # A whole song at once, where nothing has to go sample by sample.
    one_file = feedback or family in ("lru", "dynamics")
    assert found.count("within") == (1 if one_file else 2)
    assert sorted(path.name for path in (tmp_path / "x-onnx").iterdir()) == ["song.onnx", "step.onnx"][one_file:]
    metadata = {entry.key: entry.value for entry in onnx.load(tmp_path / "x-onnx" / "step.onnx").metadata_props}
    assert metadata["sample_rate"] == "44100"
