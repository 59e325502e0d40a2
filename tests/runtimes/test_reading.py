"""JSON files of RTNeural and Proteus, read, against PyTorch."""

import json
import math

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
