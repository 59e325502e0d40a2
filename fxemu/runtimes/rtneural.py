"""A model without feedback as a JSON file for RTNeural (https://github.com/jatinchowdhury18/RTNeural)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from fxemu.models import GRU, LSTM, MLP, ConvNet, Linear
from fxemu.runtimes.base import ExportError, Format, Model
from fxemu.runtimes.rtneural_reader import reset_first
from fxemu.runtimes.without_feedback import SMALL, Cell, cell_with_dry, compared_with_reader, plain_predictor

RUNTIME = "RTNeural"
ACTIVATIONS = ("tanh", "relu", "sigmoid")


class RTNeural(Format):
    """An RTNeural JSON file, of an LSTM, GRU, MLP, ConvNet or linear model without feedback."""

    suffix = "-rtneural.json"

    @torch.no_grad()
    def write(self, model: Model, path: Path) -> None:
        predictor = plain_predictor(model, RUNTIME)
        if isinstance(predictor, LSTM | GRU):
            content = recurrent_layers(predictor, cell_with_dry(predictor))
        elif isinstance(predictor, MLP):
            content = _mlp_layers(predictor)
        elif isinstance(predictor, ConvNet):
            content = _convnet_layers(predictor)
        elif isinstance(predictor, Linear):
            content = _sequence(_convolution(predictor.dry.weight, predictor.dry.bias, ""))
        else:
            raise ExportError(f"{RUNTIME} plays layers one after another: got {type(predictor).__name__}; train with "
                              "model=lstm, gru, mlp, convnet or linear, or export to nam")  # fmt: skip
        # RTNeural has no place for the rate, and passes over what it does not know.
        metadata = {"name": model.name, "samplerate": str(model.sample_rate), "source": "fxemu"}
        path.write_text(json.dumps(content | {"metadata": metadata}))

    def check(self, model: Model, path: Path) -> str:
        return compared_with_reader(model, path)


def recurrent_layers(predictor: LSTM | GRU, cell: Cell) -> dict[str, Any]:
    """The file's content for a cell and the linear layer after it."""
    if isinstance(predictor, LSTM):
        parts = [cell.input.T, cell.hidden.T, cell.input_bias + cell.hidden_bias]
    else:
        # PyTorch has the gates in the order r, z, n; here it is z, r, n.
        biases = torch.stack((cell.input_bias, cell.hidden_bias), dim=1)
        parts = [reset_first(x).T for x in (cell.input, cell.hidden, biases)]
    kind = type(predictor).__name__.lower()
    return _sequence(_entry(kind, "", cell.units, parts), _dense(cell.head[None], cell.head_bias[None], ""))


def _mlp_layers(net: MLP) -> dict[str, Any]:
    """The window as a convolution, and dense layers; the dry path goes along in one more unit of each layer."""
    kind = net.activation.kind
    if kind not in ACTIVATIONS or net.embed is not None:
        raise ExportError(f"{RUNTIME} has no {kind} here, or no layer before the window: train with model.activation="
                          "tanh and model.embedding=0")  # fmt: skip
    if net.skip is not None and kind != "tanh":
        raise ExportError(f"{RUNTIME} has no path around its layers, and only tanh can carry dry through them: train "
                          "with model.dry_skip=0 or model.activation=tanh")  # fmt: skip
    window, out = net.dry.weight, net.out.weight[..., 0]
    bias, hidden = net.dry.bias, [(layer.weight[..., 0], layer.bias) for layer in net.hidden]
    if net.skip is not None:
        taps = F.pad(net.skip.weight, (window.shape[-1] - net.skip.weight.shape[-1], 0))
        window, bias = torch.cat((window, SMALL * taps)), F.pad(bias, (0, 1))
        hidden = [(_and_one_through(weight), F.pad(b, (0, 1))) for weight, b in hidden]
        out = F.pad(out, (0, 1), value=1 / SMALL)
    return _sequence(
        _convolution(window, bias, kind), *(_dense(*layer, kind) for layer in hidden), _dense(out, net.out.bias, "")
    )


def _convnet_layers(net: ConvNet) -> dict[str, Any]:
    if (kind := net.activation.kind) not in ACTIVATIONS:
        raise ExportError(f"{RUNTIME} has no {kind} here: train with model.activation=tanh")
    layers = [_convolution(conv.weight, conv.bias, kind, conv.dilation[0]) for conv in net.layers]
    return _sequence(*layers, _dense(net.out.weight[..., 0], net.out.bias, ""))


def _and_one_through(weight: Tensor) -> Tensor:
    """A dense layer's weights (U, I) with one more unit that passes one more input on."""
    wider = F.pad(weight, (0, 1, 0, 1))
    wider[-1, -1] = 1.0
    return wider


def _dense(weight: Tensor, bias: Tensor, activation: str) -> dict[str, Any]:
    return _entry("dense", activation, weight.shape[0], [weight.T, bias])


def _convolution(weight: Tensor, bias: Tensor, activation: str, dilation: int = 1) -> dict[str, Any]:
    units, _, taps = weight.shape
    shape = {"kernel_size": [taps], "dilation": [dilation], "groups": 1}
    return _entry("conv1d", activation, units, [weight.permute(2, 1, 0), bias]) | shape


def _entry(kind: str, activation: str, units: int, weights: list[Tensor]) -> dict[str, Any]:
    shape = [None, None, units]
    return {"type": kind, "activation": activation, "shape": shape, "weights": [w.tolist() for w in weights]}


def _sequence(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"in_shape": [None, None, 1], "layers": list(layers)}
