"""Knobs of exported models: turned while they play, as the renderer turns them."""

import shutil
import subprocess
import time

import numpy as np
import pytest
import torch
from helpers.models import make
from torch import Tensor

from fxemu.audio.tensors import decode, write_wav
from fxemu.emulation import Emulation
from fxemu.models.closed_loop import ClosedLoop
from fxemu.models.knobs import Knob
from fxemu.representations import MuLaw, Raw
from fxemu.runtimes import FORMATS, Model, export
from fxemu.runtimes.c.lv2 import BLOCK, Lv2, Plugin, uri

RATE = 44_100
KNOBS = Knob("drive_db", 0.0, 40.0, 10.0), Knob("lowpass_hz", 500.0, 8000.0, 2000.0), Knob("wet", 0.0, 1.0, 0.5)
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler (cc)")


def model(name: str, representation: type = Raw, feedback: bool = True, **sizes: float) -> Model:
    encoder, decoder = representation(), representation()
    predictor = make(name, encoder.channels, decoder.params, feedback=feedback, **sizes)
    loop = ClosedLoop(predictor, encoder, decoder, KNOBS)
    if name == "dynamics":
        torch.nn.init.normal_(loop.turning.moves, std=0.3)
        torch.nn.init.uniform_(loop.turning.centres, -1, 1)
    elif loop.turning.gain is not None:
        torch.nn.init.normal_(loop.turning.gain, std=0.5)
    return Model(loop, RATE, name)


CASES = [
    pytest.param("c", "gru", Raw, True, marks=needs_compiler),
    pytest.param("c", "mlp", MuLaw, True, marks=needs_compiler),
    pytest.param("c", "wavenet", Raw, False, marks=needs_compiler),
    pytest.param("c", "dynamics", Raw, True, marks=needs_compiler),
    pytest.param("lv2", "lstm", Raw, True, marks=needs_compiler),
    pytest.param("lv2", "dynamics", Raw, True, marks=needs_compiler),
    ("torchscript", "gru", Raw, True),
    ("torchscript", "dynamics", Raw, True),
    ("onnx", "gru", Raw, True),
    ("onnx", "dynamics", Raw, True),
]


@pytest.mark.parametrize(("form", "name", "representation", "feedback"), CASES)
def test_knobs_that_are_turned_sound_as_in_the_renderer(form, name, representation, feedback, tmp_path):
    if form == "onnx":
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    format_ = FORMATS[form]()
    assert "within" in export(model(name, representation, feedback), format_, tmp_path / f"x{format_.suffix}")


def test_what_is_compared_with_hears_the_turn():
    given = model("gru")
    dry, wet = given.reference_pair()
    still = Emulation(given.loop, RATE)(dry, RATE)
    assert torch.allclose(wet[:1600], still[:1600], atol=1e-6) and (wet - still).abs().max() > 1e-2


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lv2")
    Lv2().write(model("gru"), folder / "my.lv2")
    return folder


@needs_compiler
def test_a_plugin_starts_where_its_knobs_stand(bundle):
    dry = torch.rand(3000, generator=torch.Generator().manual_seed(0)) - 0.5
    settings = {"drive_db": 30.0, "lowpass_hz": 700.0, "wet": 1.0}
    plugin = Plugin(bundle / "my.lv2" / "gru.so", RATE, KNOBS)
    plugin.turn(settings)
    plugin.activate()
    played, expected = plugin.play(dry.numpy()), Emulation(model("gru").loop, RATE)(dry, RATE, **settings)
    assert np.abs(played - expected.numpy()).max() < 1e-6


@needs_compiler
def test_a_plugin_is_at_rest_when_its_state_is_and_not_just_its_output(tmp_path):
    """A linear recurrent unit whose output is 0 in silence, while its gain for dry follows slow states."""
    given = model("lru", longest=3000.0)
    given.loop.predictor.out.weight.data.zero_()
    Lv2().write(given, tmp_path / "x.lv2")
    plugin = Plugin(tmp_path / "x.lv2" / "lru.so", RATE, KNOBS)
    settings = {"drive_db": 5.0, "lowpass_hz": 2000.0, "wet": 0.8}
    plugin.turn(settings)
    plugin.activate()
    dry = torch.rand(1000, generator=torch.Generator().manual_seed(0)) - 0.5
    expected = Emulation(given.loop, RATE)(dry, RATE, **settings)
    assert np.abs(plugin.play(dry.numpy()) - expected.numpy()).max() < 1e-5


@needs_compiler
def test_a_plugin_comes_to_rest_before_it_plays_and_not_in_its_first_block(bundle):
    spent = []
    for _ in range(5):
        plugin = Plugin(bundle / "my.lv2" / "gru.so", RATE, KNOBS)
        # After `activate`: the next block is played with it, too.
        plugin.turn({"drive_db": 30.0, "lowpass_hz": 700.0, "wet": 1.0})
        for _ in range(20):
            start = time.thread_time_ns()
            plugin.descriptor.run(plugin.handle, BLOCK)
            spent.append(time.thread_time_ns() - start)
    # To come to rest takes as long as more than 60 blocks.
    assert min(spent[::20]) < 10 * np.median(spent)


@needs_compiler
def test_controls_that_are_not_finite_or_out_of_range_are_held(bundle):
    dry, played = torch.rand(1000, generator=torch.Generator().manual_seed(0)).numpy() - 0.5, []
    for turned in ((40.0, 500.0, 0.5), (float("nan"), float("-inf"), float("inf")), (1e9, 3.0, 0.5)):
        plugin = Plugin(bundle / "my.lv2" / "gru.so", RATE, KNOBS)
        for values in ((40.0, 500.0, 0.5), turned):
            plugin.turn(dict(zip("abc", values, strict=True)))
            played.append(plugin.play(dry))
    assert all(np.array_equal(played[1], other) for other in played[3::2])


def applied(bundle, folder, dry: Tensor, controls: str) -> Tensor:
    """What lv2apply makes of dry."""
    if shutil.which("lv2apply") is None:
        pytest.skip("lv2apply is not installed (apt-get install lilv-utils)")
    write_wav(folder / "dry.wav", dry, RATE)
    words = f"lv2apply -i {folder}/dry.wav -o {folder}/wet.wav {controls} {uri(model('gru'))}".split()
    assert subprocess.run(words, env={"LV2_PATH": str(bundle)}).returncode == 0
    return decode(folder / "wet.wav")[0]


@needs_compiler
@pytest.mark.parametrize("controls", ["", "-c drive_db 30 -c wet_ 1"])
def test_silence_in_a_host_is_silent_from_the_first_sample(bundle, tmp_path, controls):
    wet = applied(bundle, tmp_path, torch.zeros(RATE), controls)
    assert (wet - wet[-1]).abs().max() < 1e-5


@needs_compiler
def test_a_host_turns_its_controls(bundle, tmp_path):
    dry = 0.3 * torch.randn(4000, generator=torch.Generator().manual_seed(0)).clamp(-2, 2)
    expected = Emulation(model("gru").loop, RATE)(dry, RATE, drive_db=30.0, wet=1.0)
    assert (applied(bundle, tmp_path, dry, "-c drive_db 30 -c wet_ 1") - expected).abs().max() < 1e-4
    said = subprocess.run(["lv2info", uri(model("gru"))], env={"LV2_PATH": str(bundle)}, capture_output=True, text=True)
    assert "lowpass_hz" in said.stdout and "Minimum:     500" in said.stdout and not said.stderr
