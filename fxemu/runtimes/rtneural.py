"""JSON files of RTNeural (https://github.com/jatinchowdhury18/RTNeural), written and read; AIDA-X reads a variant.

Written: an LSTM, GRU, MLP, ConvNet or linear model without feedback.
Shapes: W width of a layer's input, U its units, K taps, H hidden units.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from fxemu.engine import cells
from fxemu.engine.plan import DRY, Plan, Product, Term
from fxemu.files import printable
from fxemu.models import GRU, LSTM, MLP, ConvNet, Linear
from fxemu.runtimes.base import ExportError, Format, Model
from fxemu.runtimes.foreign import Foreign, activated, checked_model, layer, read_json, tensor, whole_number
from fxemu.runtimes.without_feedback import (
    MOST_KNOBS,
    SMALL,
    Cell,
    cell_with_dry,
    compared_with_reader,
    plain_predictor,
)

RUNTIME = "RTNeural"
ACTIVATIONS = ("tanh", "relu", "sigmoid")


class RTNeural(Format):
    """An RTNeural JSON file, of an LSTM, GRU, MLP, ConvNet or linear model without feedback."""

    suffix = "-rtneural.json"
    turnable = True

    @torch.no_grad()
    def write(self, model: Model, path: Path) -> None:
        predictor = plain_predictor(model, RUNTIME, MOST_KNOBS)
        if isinstance(predictor, LSTM | GRU):
            data = recurrent_layers(predictor, cell_with_dry(predictor))
        elif isinstance(predictor, MLP):
            data = _mlp_layers(predictor)
        elif isinstance(predictor, ConvNet):
            data = _convnet_layers(predictor)
        elif isinstance(predictor, Linear):
            data = _sequence(1, _convolution_entry(predictor.dry.weight, predictor.dry.bias, ""))
        else:
            raise ExportError(f"{RUNTIME} plays layers one after another: got {type(predictor).__name__}; train with "
                              "model=lstm, gru, mlp, convnet or linear, or export to nam")  # fmt: skip
        # RTNeural has no place for it, and passes over what it does not know.
        path.write_text(json.dumps(data | {"metadata": metadata(model)}))

    def check(self, model: Model, path: Path) -> str:
        return compared_with_reader(model, partial(parse, read_json(path)))


def metadata(model: Model) -> dict[str, Any]:
    """The part of a file that is for people, the knobs among it."""
    about = {"name": model.name, "samplerate": str(model.sample_rate), "source": "fxemu"}
    return about | ({"knobs": [asdict(knob) for knob in model.loop.knobs]} if model.loop.knobs else {})


def recurrent_layers(predictor: LSTM | GRU, cell: Cell) -> dict[str, Any]:
    """The file's content for a cell and the linear layer after it."""
    if isinstance(predictor, LSTM):
        parts = [cell.input.T, cell.hidden.T, cell.input_bias + cell.hidden_bias]
    else:
        # PyTorch has the gates in the order r, z, n; here it is z, r, n.
        biases = torch.stack((cell.input_bias, cell.hidden_bias), dim=1)
        parts = [reset_first(x).T for x in (cell.input, cell.hidden, biases)]
    kind = type(predictor).__name__.lower()
    return _sequence(
        cell.input.shape[1],
        _entry(kind, "", cell.units, parts),
        _dense_entry(cell.head[None], cell.head_bias[None], ""),
    )


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
        taps = F.pad(taps, (0, 0, 0, window.shape[1] - 1))
        window, bias = torch.cat((window, SMALL * taps)), F.pad(bias, (0, 1))
        hidden = [(_and_one_through(weight), F.pad(b, (0, 1))) for weight, b in hidden]
        out = F.pad(out, (0, 1), value=1 / SMALL)
    return _sequence(
        window.shape[1],
        _convolution_entry(window, bias, kind),
        *(_dense_entry(*layer, kind) for layer in hidden),
        _dense_entry(out, net.out.bias, ""),
    )


def _convnet_layers(net: ConvNet) -> dict[str, Any]:
    if (kind := net.activation.kind) not in ACTIVATIONS:
        raise ExportError(f"{RUNTIME} has no {kind} here: train with model.activation=tanh")
    layers = [_convolution_entry(conv.weight, conv.bias, kind, conv.dilation[0]) for conv in net.layers]
    return _sequence(net.layers[0].weight.shape[1], *layers, _dense_entry(net.out.weight[..., 0], net.out.bias, ""))


def _and_one_through(weight: Tensor) -> Tensor:
    """A dense layer's weights (U, I) with one more unit that passes one more input on."""
    wider = F.pad(weight, (0, 1, 0, 1))
    wider[-1, -1] = 1.0
    return wider


def _dense_entry(weight: Tensor, bias: Tensor, activation: str) -> dict[str, Any]:
    return _entry("dense", activation, weight.shape[0], [weight.T, bias])


def _convolution_entry(weight: Tensor, bias: Tensor, activation: str, dilation: int = 1) -> dict[str, Any]:
    units, _, taps = weight.shape
    shape = {"kernel_size": [taps], "dilation": [dilation], "groups": 1}
    return _entry("conv1d", activation, units, [weight.permute(2, 1, 0), bias]) | shape


def _entry(kind: str, activation: str, units: int, weights: list[Tensor]) -> dict[str, Any]:
    shape = [None, None, units]
    return {"type": kind, "activation": activation, "shape": shape, "weights": [w.tolist() for w in weights]}


def _sequence(inputs: int, *layers: dict[str, Any]) -> dict[str, Any]:
    return {"in_shape": [None, None, inputs], "layers": list(layers)}


# Where a file says none: RTNeural has no place for it, and AIDA-X is trained at this.
RATE_HZ = 48_000


def parse(data: dict[str, Any], knobs: Sequence[float] = ()) -> Foreign:
    """The model in a file's content, its inputs beside dry being knobs that stand at places from 0 to 1.

    ValueError, KeyError or TypeError if there is none that can be played.
    """
    if data["in_shape"][-1] != 1 + len(knobs):
        raise ValueError(f"in_shape: got {printable(str(data['in_shape']))[:40]}; can play models with one input")
    plan = Plan()
    dry = x = _scaled(plan, DRY, data.get("in_gain", 0))
    if knobs:
        first = torch.eye(1 + len(knobs))[:, :1, None]
        x = plan.add(Term(dry, first), bias=torch.tensor([0.0, *knobs]))
    for entry in data["layers"]:
        kind = str(entry["type"])[:40]
        if kind not in LAYERS:
            raise ValueError(f"a layer of type {printable(kind)!r}; can play {', '.join(LAYERS)}")
        x = LAYERS[kind](plan, x, entry)
    if data.get("in_skip"):
        x = plan.mix(Product((x,)), Product((dry,)))
    _scaled(plan, x, data.get("out_gain", 0))
    return checked_model(plan, _sample_rate(data))


def _sample_rate(data: dict[str, Any]) -> float:
    rate = data["metadata"].get("samplerate", RATE_HZ) if isinstance(data.get("metadata"), dict) else RATE_HZ
    try:
        return float(rate)
    except (TypeError, ValueError) as error:
        raise ValueError(f"samplerate: got {printable(str(rate))[:40]!r}; must be a number of Hz") from error


def _scaled(plan: Plan, value: int, gain_db: float) -> int:
    if not -100 <= gain_db <= 100:
        raise ValueError(f"gain: got {printable(str(gain_db))[:40]}; must be from -100 to 100 dB")
    return plan.mix(Product((value,), 10 ** (gain_db / 20))) if gain_db else value


def _read_dense(plan: Plan, x: int, entry: dict[str, Any]) -> int:
    weight = tensor(entry["weights"][0], plan.width(x), None)
    bias = tensor(entry["weights"][1], weight.shape[1])
    return layer(plan, Term(x, weight.T[..., None]), bias=bias, activation=_activation(entry))


def _read_convolution(plan: Plan, x: int, entry: dict[str, Any]) -> int:
    if entry.get("groups", 1) != 1:
        raise ValueError("a conv1d in groups, which cannot be played here")
    weight = tensor(entry["weights"][0], whole_number(entry["kernel_size"][0], "kernel_size"), plan.width(x), None)
    term = Term(x, weight.permute(2, 1, 0), whole_number(entry["dilation"][0], "dilation"))
    return layer(plan, term, bias=tensor(entry["weights"][1], weight.shape[2]), activation=_activation(entry))


def _read_lstm(plan: Plan, x: int, entry: dict[str, Any]) -> int:
    inputs, own = _read_recurrent(entry, plan.width(x), 4)
    return cells.lstm(plan, [Term(x, inputs[..., None])], own, tensor(entry["weights"][2], own.shape[0]))


def _read_gru(plan: Plan, x: int, entry: dict[str, Any]) -> int:
    inputs, own = _read_recurrent(entry, plan.width(x), 3)
    biases = tensor(entry["weights"][2], 2, own.shape[0])
    inputs, own, *biases = (reset_first(part) for part in (inputs, own, *biases))
    return cells.gru(plan, [Term(x, inputs[..., None])], own, tuple(biases))


def _read_recurrent(entry: dict[str, Any], width: int, gates: int) -> tuple[Tensor, Tensor]:
    """Weights (gates H, W) of its inputs and (gates H, H) of its own state."""
    own = tensor(entry["weights"][1], None, None)
    size = own.shape[0]
    return tensor(entry["weights"][0], width, gates * size).T, tensor(entry["weights"][1], size, gates * size).T


def reset_first(gates: Tensor) -> Tensor:
    """The gates of a GRU (3 H, ...) from RTNeural's order z, r, n to PyTorch's r, z, n, or the reverse."""
    first, second, third = gates.chunk(3)
    return torch.cat((second, first, third))


def _read_activation(plan: Plan, x: int, entry: dict[str, Any]) -> int:
    return activated(plan, x, _activation(entry))


def _activation(entry: dict[str, Any]) -> str:
    return str(entry.get("activation") or "identity").lower()


LAYERS = {
    "dense": _read_dense,
    "time-distributed-dense": _read_dense,
    "conv1d": _read_convolution,
    "lstm": _read_lstm,
    "gru": _read_gru,
    "activation": _read_activation,
}
