"""Files of other runtimes: .nam against neural-amp-modeler itself (see nam_reference/), the rest against PyTorch."""

import json
import math
from pathlib import Path

import pytest
import torch
from nam_reference.export import MAKERS, model
from torch import nn

from fxemu.effects import EffectError, Nam
from fxemu.emulation import load
from fxemu.engine.streaming.stream import render
from fxemu.models import GRU, LSTM, WaveNet
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import MuLaw, Raw
from fxemu.runtimes import ExportError, Model, export, nam_reader, proteus_reader, rtneural_reader
from fxemu.runtimes.nam import Nam as NamFormat
from fxemu.runtimes.proteus import DATA as PROTEUS_DATA
from fxemu.runtimes.reading import ForeignError, read

REFERENCES = [
    json.loads(path.read_text())
    for path in sorted((Path(__file__).parent.parent / "nam_reference").glob("reference-*.json"))
]
PLAYED = [(torch.tensor(ref["dry"]), name, found) for ref in REFERENCES for name, found in ref["models"].items()]
FILES = {name: found["file"] for _, name, found in PLAYED}


@pytest.mark.parametrize(
    ("dry", "name", "found"), PLAYED, ids=[f"{name}, {f['file']['version']}" for _, name, f in PLAYED]
)
def test_plays_a_file_as_neural_amp_modeler_does(dry, name, found):
    wet = torch.tensor(found["wet"])
    assert wet.std() > 1e-4
    assert (render(nam_reader.parse(found["file"]), dry) - wet).abs().max() < 1e-6


@pytest.mark.parametrize("name", MAKERS)
def test_neural_amp_modeler_plays_an_exported_file_as_the_renderer_does(name, tmp_path):
    dry, _, found = next(played for played in PLAYED if played[1] == name)
    given = model(name)
    assert (render(given.loop, dry) - torch.tensor(found["wet"])).abs().max() < 1e-5
    # What it played is what is written today.
    export(given, NamFormat(), tmp_path / "x.nam")
    written = json.loads((tmp_path / "x.nam").read_text())
    assert written["config"] == found["file"]["config"]
    assert torch.allclose(torch.tensor(written["weights"]), torch.tensor(found["file"]["weights"]), atol=1e-6)


def test_known_numbers_of_weights(tmp_path):
    def weights(predictor):
        export(Model(ClosedLoop(predictor, Raw(), Raw()), 48_000), NamFormat(), tmp_path / "x.nam")
        return len(json.loads((tmp_path / "x.nam").read_text())["weights"])

    assert weights(LSTM(1, 1, width=3, memory_samples=9, dry_skip=False, feedback=False)) == 70
    # The standard net of Neural Amp Modeler has 13802; ours has a bias of 8 in the first head besides.
    assert weights(WaveNet(1, 1, 16, dilations=[2**k for k in range(10)], feedback=False)) == 13802 + 8


@pytest.mark.parametrize(
    ("predictor", "representation", "reason"),
    [
        (lambda: LSTM(1, 1), Raw, "train it with model.feedback=false"),
        (lambda: LSTM(1, 1, feedback=False), MuLaw, "train with repr=raw"),
        (lambda: GRU(1, 1, feedback=False), Raw, "got GRU; train with model=wavenet or"),
    ],
)
def test_what_cannot_be_played_is_refused_with_what_to_do(predictor, representation, reason, tmp_path):
    with pytest.raises(ExportError, match=reason):
        export(Model(ClosedLoop(predictor(), representation(), Raw()), 44_100), NamFormat(), tmp_path / "x.nam")
    assert not list(tmp_path.iterdir())


def changed(name: str, **config: object) -> dict:
    """A file with something else in it; `weights` and the like, or of its first array or config."""
    content = json.loads(json.dumps(FILES[name]))
    for key, value in config.items():
        place = content if key in content else content["config"].get("layers", [content["config"]])[0]
        place[key] = value
    return content


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (changed("wavenet", architecture="Container"), "architecture 'Container'; can play WaveNet, LSTM"),
        (changed("wavenet", weights=[0.0] * 9), "9 weights, fewer than its config asks for"),
        (changed("lstm", weights=[0.0] * 999), "it has 999 weights"),
        (changed("lstm", weights=[math.nan] * 99), "not finite numbers"),
        (changed("lstm", weights="secret"), "no model that can be played"),
        (changed("lstm", hidden_size=10**6), "fewer than its config asks for"),
        (changed("lstm", hidden_size=1e99), "must be from 1 to"),
        (changed("lstm", hidden_size=-4), "got -4"),
        (changed("wavenet", channels="4"), "channels: got '4'; must be a whole number"),
        (changed("wavenet", dilations=[1, 2, 10**9]), "dilation: got 1000000000"),
        (changed("wavenet", activation="eval"), "activation 'eval'; can play identity, tanh"),
        (changed("wavenet", condition_size=2), "condition_size must be 1"),
        (changed("wavenet", head1x1={"active": True}), "with head1x1"),
        (changed("wavenet", dilations=[2**19] * 3), "looks back to [0-9]+ samples"),
        (changed("wavenet", sample_rate=12), "sample_rate: got 12"),
        ([], "it is no JSON object"),
        ({}, "neither a .nam file nor JSON of RTNeural"),
        ({"architecture": "LSTM"}, "it has no weights"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(content, reason, tmp_path):
    (tmp_path / "x.nam").write_text(json.dumps(content))
    with pytest.raises(ForeignError, match=reason) as error:
        read(tmp_path / "x.nam")
    assert "\n" not in str(error.value)


def test_the_effect_plays_at_the_rate_of_the_file_and_knows_its_memory(tmp_path):
    path = tmp_path / "x.nam"
    path.write_text(json.dumps(FILES["wavenet"]))
    effect, dry = Nam(str(path)), torch.rand(500) - 0.5
    assert torch.equal(effect(dry, 44_100), render(read(path), dry))
    assert effect.memory_s == pytest.approx(2 * 2 * (1 + 2 + 5) / 44_100)
    with pytest.raises(EffectError, match=r"captured at 44100 Hz.*data.sample_rate=44100"):
        effect(dry, 48_000)
    before = effect.identity()
    path.write_text(json.dumps(FILES["gated"]))
    assert Nam(str(path)).identity() != before
    for wrong in (None, str(tmp_path / "no.nam")):
        with pytest.raises(ValueError, match="path: "):
            Nam(wrong)


def layers_file(*layers: dict, **more: object) -> dict:
    return {"in_shape": [None, None, 1], "layers": list(layers)} | more


def entry(kind: str, *weights: torch.Tensor, **more: object) -> dict:
    return {"type": kind, "activation": "", "weights": [w.tolist() for w in weights]} | more


def dense(units: int) -> tuple[dict, torch.Tensor, torch.Tensor]:
    weight, bias = torch.randn(units, 1), torch.randn(1)
    return entry("dense", weight, bias), weight, bias


def noise(samples: int) -> torch.Tensor:
    return torch.rand(samples, generator=torch.Generator().manual_seed(1)) - 0.5


def settled(net: torch.nn.Module, dry: torch.Tensor) -> torch.Tensor:
    """What a recurrent layer of PyTorch gives, after a second of silence: (samples, units)."""
    with torch.no_grad():
        return net(torch.cat((torch.zeros(48_000), dry))[:, None])[0][48_000:]


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_recurrent_layers_of_rtneural_are_those_of_pytorch(kind):
    torch.manual_seed(0)
    net, (out, weight, bias), dry = {"lstm": nn.LSTM, "gru": nn.GRU}[kind](1, 3), dense(3), noise(300)
    given, own, *biases = (w.detach() for w in net.parameters())
    order = [0, 1, 2, 3] if kind == "lstm" else [1, 0, 2]
    given, own, first, second = (torch.cat([w.split(3)[g] for g in order]) for w in (given, own, *biases))
    both = first + second if kind == "lstm" else torch.stack((first, second))
    model = rtneural_reader.parse(
        layers_file(entry(kind, given.T, own.T, both), out, in_skip=1, in_gain=-6, out_gain=3)
    )
    assert model.sample_rate == 48_000
    heard = 10 ** (-6 / 20) * dry
    expected = 10 ** (3 / 20) * ((settled(net, heard) @ weight + bias)[:, 0] + heard)
    assert (render(model, dry) - expected).abs().max() < 1e-5


def test_convolutions_of_rtneural_are_those_of_pytorch():
    torch.manual_seed(0)
    kernel, shift, (out, weight, bias), dry = torch.randn(3, 1, 2), torch.randn(2), dense(2), noise(100)
    conv = entry("conv1d", kernel, shift, kernel_size=[3], dilation=[4], groups=1, activation="tanh")
    x = torch.tanh(
        nn.functional.conv1d(nn.functional.pad(dry[None], (8, 0)), kernel.permute(2, 1, 0), shift, dilation=4)
    )
    played = render(rtneural_reader.parse(layers_file(conv, {"type": "activation", "activation": "relu"}, out)), dry)
    assert torch.allclose(played, (x.relu().T @ weight + bias)[:, 0], atol=1e-6)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("skip", [0, 1])
def test_proteus_is_a_layer_of_pytorch_with_dry_added(kind, skip):
    torch.manual_seed(0)
    net, linear, dry = getattr(nn, kind)(1, 4), nn.Linear(4, 1), noise(300)
    state = nn.ModuleDict({"rec": net, "lin": linear}).state_dict()
    described = PROTEUS_DATA | {"hidden_size": 4, "unit_type": kind, "skip": skip}
    model = proteus_reader.parse(
        {"model_data": described, "state_dict": {name: w.tolist() for name, w in state.items()}}
    )
    with torch.no_grad():
        expected = linear(settled(net, dry))[:, 0] + skip * dry
    assert model.sample_rate == 44_100 and (render(model, dry) - expected).abs().max() < 1e-5


CURVES = {
    "LeakyReLU": nn.functional.leaky_relu,
    "SiLU": nn.functional.silu,
    "Hardswish": nn.functional.hardswish,
    "Hardtanh": nn.functional.hardtanh,
    "Fasttanh": torch.tanh,
    "Softsign": nn.functional.softsign,
}


@pytest.mark.parametrize("batchnorm", [False, True])
@pytest.mark.parametrize("activation", CURVES)
def test_a_convnet_of_nam(activation, batchnorm):
    torch.manual_seed(0)
    convs = [nn.Conv1d(1, 3, 2, dilation=1, bias=not batchnorm), nn.Conv1d(3, 3, 2, dilation=4, bias=not batchnorm)]
    norms, head, dry = [nn.BatchNorm1d(3).eval(), nn.BatchNorm1d(3).eval()], nn.Conv1d(3, 1, 1), 8 * noise(200)
    weights, x = [], nn.functional.pad(dry[None, None], (5, 0))
    with torch.no_grad():
        for conv, norm in zip(convs, norms, strict=True):
            for tensor in (norm.running_mean, norm.running_var, norm.weight, norm.bias):
                tensor.uniform_(0.5, 2)
            x = CURVES[activation](norm(conv(x)) if batchnorm else conv(x))
            weights += list(conv.parameters())
            weights += [
                norm.running_mean,
                norm.running_var,
                norm.weight,
                norm.bias,
                torch.tensor([norm.eps]),
            ] * batchnorm
        expected, weights = head(x)[0, 0], [*weights, *head.parameters()]
    config = {"channels": 3, "dilations": [1, 4], "batchnorm": batchnorm, "activation": activation}
    flat = torch.cat([w.detach().flatten() for w in weights]).tolist()
    model = nam_reader.parse({"architecture": "ConvNet", "config": config, "weights": flat})
    assert model.warm_up == 5 and torch.allclose(render(model, dry), expected, atol=1e-5)


def test_a_batch_normalisation_that_divides_by_zero_is_refused():
    config = {"channels": 1, "dilations": [1], "batchnorm": True, "activation": "Tanh"}
    # A kernel of two, then mean, variance, scale, shift and epsilon, then the head.
    weights = [1.0, 1.0, 0.0, -1.0, 1.0, 0.0, 1e-5, 1.0, 0.0]
    with pytest.raises(ValueError, match="its batch normalisation divides by zero, or by the root of less"):
        nam_reader.parse({"architecture": "ConvNet", "config": config, "weights": weights})


DENSE = entry("dense", torch.ones(1, 1), torch.zeros(1))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (layers_file(), "it has no layers"),
        (layers_file(DENSE | {"type": "conv2d"}), "type 'conv2d'; can play dense"),
        (layers_file(DENSE | {"activation": "softmax"}), "activation 'softmax'; can play"),
        (layers_file(DENSE | {"weights": [[[1.0, 2.0]], [0.0]]}), "shape 1 where 2 belong"),
        (layers_file(entry("dense", torch.ones(1, 2), torch.zeros(2))), "it has 2 outputs"),
        (layers_file(entry("dense", torch.ones(3, 1), torch.zeros(1))), "shape 3 x 1 where 1 x any belong"),
        (layers_file(DENSE | {"weights": [[[math.inf]], [0.0]]}), "not finite"),
        (layers_file(DENSE | {"weights": [[["x"]], [0.0]]}), "no model that can be played"),
        (
            layers_file(entry("lstm", torch.ones(1, 8), torch.ones(2, 9), torch.ones(8))),
            "shape 1 x 8 where 1 x 8|2 x 9",
        ),
        (layers_file(DENSE, in_gain=1e9), "gain: got"),
        (layers_file(DENSE, metadata={"samplerate": "nan"}), "no model that can be played"),
        (layers_file(DENSE) | {"in_shape": [None, None, 2]}, "can play models with one input"),
        ({"state_dict": {}}, "it has no model_data"),
        ({"model_data": {"model": "WaveNet"}, "state_dict": {}}, "model: got 'WaveNet'; can play SimpleRNN"),
    ],
)
def test_bad_json_is_refused_in_one_line(content, reason, tmp_path):
    (tmp_path / "x.json").write_text(json.dumps(content))
    with pytest.raises(ForeignError, match=reason) as error:
        load(tmp_path / "x.json")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["[" * 100_000, "\x00", "no JSON", '{"layers": 1' + "0" * 5000 + "}"])
def test_what_is_no_json_is_one_line(text, tmp_path):
    (tmp_path / "x.nam").write_text(text)
    with pytest.raises(ForeignError, match="no model that can be played") as error:
        load(tmp_path / "x.nam")
    assert "\n" not in str(error.value)


def test_a_foreign_model_is_an_emulation_and_a_stream(tmp_path):
    (tmp_path / "x.nam").write_text(json.dumps(FILES["own lstm"]))
    emulation, dry = load(tmp_path / "x.nam"), noise(20_000)
    whole = emulation(dry, emulation.sample_rate)
    stream = emulation.stream()
    parts = [stream.process(part) for part in dry.split(64)[:100]]
    assert torch.equal(torch.cat(parts), whole[:6400])
    kept = stream.state()
    expected = stream.process(dry[6400:7000])
    other = emulation.stream()
    other.restore(kept)
    assert torch.equal(other.process(dry[6400:7000]), expected)


def test_activations_of_rtneural_cost_no_more_than_their_units():
    torch.manual_seed(0)
    (first, weight, bias), dry = dense(1), noise(100)
    wide = entry("dense", torch.randn(1, 500), torch.zeros(500))
    last = entry("dense", torch.randn(500, 1) / 500, torch.zeros(1))
    layers = [entry("activation", activation=kind) for kind in ("tanh", "relu", "hardswish")]
    model = rtneural_reader.parse(layers_file(first, *layers))
    expected = nn.functional.hardswish(torch.relu(torch.tanh(dry * weight[0, 0] + bias)))
    assert (render(model, dry) - expected).abs().max() < 1e-5
    assert rtneural_reader.parse(layers_file(wide, *layers, last)).plan().multiply_adds() < 10 * 500
