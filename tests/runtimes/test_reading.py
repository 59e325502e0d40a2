"""JSON files of RTNeural and Proteus, read, against PyTorch."""

import json
import math
import re

import pytest
import torch
from torch import nn

from fxemu.emulation import load
from fxemu.engine.streaming.stream import render
from fxemu.runtimes import proteus, rtneural
from fxemu.runtimes.proteus import DATA as PROTEUS_DATA
from fxemu.runtimes.reading import ForeignError


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
    model = rtneural.parse(layers_file(entry(kind, given.T, own.T, both), out, in_skip=1, in_gain=-6, out_gain=3))
    assert model.sample_rate == 48_000
    driven = 10 ** (-6 / 20) * dry
    expected = 10 ** (3 / 20) * ((settled(net, driven) @ weight + bias)[:, 0] + driven)
    assert (render(model, dry) - expected).abs().max() < 1e-5


def test_convolutions_of_rtneural_are_those_of_pytorch():
    torch.manual_seed(0)
    kernel, shift, (out, weight, bias), dry = torch.randn(3, 1, 2), torch.randn(2), dense(2), noise(100)
    conv = entry("conv1d", kernel, shift, kernel_size=[3], dilation=[4], groups=1, activation="tanh")
    x = torch.tanh(
        nn.functional.conv1d(nn.functional.pad(dry[None], (8, 0)), kernel.permute(2, 1, 0), shift, dilation=4)
    )
    played = render(rtneural.parse(layers_file(conv, {"type": "activation", "activation": "relu"}, out)), dry)
    assert torch.allclose(played, (x.relu().T @ weight + bias)[:, 0], atol=1e-6)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("skip", [0, 1])
def test_proteus_is_a_layer_of_pytorch_with_dry_added(kind, skip):
    torch.manual_seed(0)
    net, linear, dry = getattr(nn, kind)(1, 4), nn.Linear(4, 1), noise(300)
    state = nn.ModuleDict({"rec": net, "lin": linear}).state_dict()
    described = PROTEUS_DATA | {"hidden_size": 4, "unit_type": kind, "skip": skip}
    model = proteus.parse({"model_data": described, "state_dict": {name: w.tolist() for name, w in state.items()}})
    with torch.no_grad():
        expected = linear(settled(net, dry))[:, 0] + skip * dry
    assert model.sample_rate == 44_100 and (render(model, dry) - expected).abs().max() < 1e-5


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


GOOD = layers_file(DENSE, metadata={"name": "Größe", "samplerate": "44100"})


@pytest.mark.parametrize("code", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ["AMP.JSON", "amp.AIDAX"])
def test_json_is_read_in_any_code_and_under_any_name(tmp_path, code, name):
    (tmp_path / name).write_text(json.dumps(GOOD, ensure_ascii=False), encoding=code)
    assert load(tmp_path / name).sample_rate == 44_100


@pytest.mark.parametrize("key", ["metadata", "in_gain", "out_gain", "in_skip"])
def test_null_counts_as_absent(tmp_path, key):
    (tmp_path / "amp.json").write_text(json.dumps(GOOD | {key: None}))
    assert load(tmp_path / "amp.json").sample_rate == (48_000 if key == "metadata" else 44_100)


# Texts of Python's and of PyTorch's, which say nothing about the file.
FOREIGN_WORDS = r"NoneType|object|attribute|Expecting|char \d|codec|subscript|iterable|indices|str'|float\(\)|dimension"


@pytest.mark.parametrize("value", [None, [], {}, "x", 3, True, [None], [{}], {"type": None}])
def test_whatever_is_wrong_in_a_file_is_said_in_our_words(tmp_path, value):
    whole = GOOD | {"model_data": PROTEUS_DATA}
    changed = [whole | {key: value} for key in ("in_shape", "layers", "metadata", "in_gain")]
    changed += [layers_file(DENSE | {key: value}) for key in ("type", "activation", "weights")]
    changed += [{"state_dict": value}, {"model_data": value, "state_dict": {}}, {"architecture": value}]
    changed += [{"architecture": "WaveNet", "config": value, "weights": [1.0]}]
    changed += [{"architecture": "LSTM", "config": {"hidden_size": value}, "weights": [1.0]}]
    for content in changed:
        (tmp_path / "x.json").write_text(json.dumps(content))
        try:
            load(tmp_path / "x.json")
        except ForeignError as error:
            assert not re.search(FOREIGN_WORDS, str(error).split(": ", 1)[1]), error


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"\xef\xbb\xbf \n", "it is empty"),
        (b'{"layers": [', "it is no JSON, or damaged, from line 1, column 13 on"),
        (b"\x93NUMPY\x01", "it is no JSON, nor any other text"),
        (b"[1]", "it is no JSON object"),
    ],
)
def test_what_is_no_json_is_said_where_it_breaks_off(tmp_path, content, words):
    (tmp_path / "x.nam").write_bytes(content)
    with pytest.raises(ForeignError, match=f"no model that can be played: {words}$"):
        load(tmp_path / "x.nam")


def test_activations_of_rtneural_cost_no_more_than_their_units():
    torch.manual_seed(0)
    (first, weight, bias), dry = dense(1), noise(100)
    wide = entry("dense", torch.randn(1, 500), torch.zeros(500))
    last = entry("dense", torch.randn(500, 1) / 500, torch.zeros(1))
    layers = [entry("activation", activation=kind) for kind in ("tanh", "relu", "hardswish")]
    model = rtneural.parse(layers_file(first, *layers))
    expected = nn.functional.hardswish(torch.relu(torch.tanh(dry * weight[0, 0] + bias)))
    assert (render(model, dry) - expected).abs().max() < 1e-5
    assert rtneural.parse(layers_file(wide, *layers, last)).plan().multiply_adds() < 10 * 500
