"""Files of Neural Amp Modeler (.nam, https://github.com/sdatkinson/neural-amp-modeler), written and read.

Written: a WaveNet, an LSTM, a ConvNet or a linear filter without feedback. Read: files of those architectures.
Shapes: C channels, K taps, H hidden units.
"""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fxemu.engine import cells
from fxemu.engine.plan import DRY, Plan, Product, Term
from fxemu.engine.steady_state import hidden_rest
from fxemu.models import LSTM, ConvNet, Linear, WaveNet
from fxemu.runtimes.base import ExportError, Format, Model
from fxemu.runtimes.foreign import Foreign, checked_model, layer, read_json, tensor, whole_number
from fxemu.runtimes.nam_metadata import metadata
from fxemu.runtimes.without_feedback import Cell, cell_with_dry, compared_with_reader, plain_predictor

RUNTIME = "Neural Amp Modeler"
# What every plugin that reads .nam files understands.
VERSION = "0.5.4"
# Of several models of the same, from small to large: the largest is played.
CONTAINER = "SlimmableContainer"
ACTIVATIONS = {"tanh": "Tanh", "relu": "ReLU", "sigmoid": "Sigmoid", "softsign": "Softsign"}


class Nam(Format):
    """A .nam file, of a WaveNet, LSTM, ConvNet or linear model without feedback, for Neural Amp Modeler."""

    suffix = ".nam"
    described = True

    @torch.no_grad()
    def write(self, model: Model, path: Path) -> None:
        predictor = plain_predictor(model, RUNTIME)
        if isinstance(predictor, WaveNet):
            config, weights = _wavenet_content(predictor)
        elif isinstance(predictor, LSTM):
            config, weights = _lstm_content(cell_with_dry(predictor), model.sample_rate)
        elif isinstance(predictor, ConvNet):
            config, weights = _convnet_content(predictor)
        elif isinstance(predictor, Linear):
            config = {"receptive_field": predictor.receptive_field, "bias": True}
            weights = [predictor.dry.weight, predictor.dry.bias]
        else:
            raise ExportError(f"{RUNTIME} plays WaveNet, LSTM, ConvNet and linear models: got "
                              f"{type(predictor).__name__}; train with model=wavenet or model=lstm")  # fmt: skip
        data = {
            "version": VERSION,
            "architecture": type(predictor).__name__,
            "config": config,
            "weights": torch.cat([w.flatten() for w in weights]).tolist(),
            "sample_rate": model.sample_rate,
            "metadata": metadata(model),
        }
        path.write_text(json.dumps(data))

    def check(self, model: Model, path: Path) -> str:
        return compared_with_reader(model, lambda knobs: parse(read_json(path)))


def _lstm_content(cell: Cell, sample_rate: int) -> tuple[dict[str, int], list[Tensor]]:
    """Config and weights, with the state at rest in silence to start from."""
    plan, bias = Plan(), cell.input_bias + cell.hidden_bias
    hidden = cells.lstm(plan, [Term(DRY, cell.input[..., None])], cell.hidden, bias)
    plan.add(Term(hidden, cell.head[None, :, None]), bias=cell.head_bias[None])
    matrix = torch.cat((cell.input, cell.hidden), dim=1)
    weights = [matrix, bias, *hidden_rest(checked_model(plan, sample_rate)), cell.head, cell.head_bias]
    return {"input_size": 1, "hidden_size": cell.units, "num_layers": 1}, weights


def _written_activation(kind: str) -> str:
    """Name of an activation in a .nam file; ExportError for one that the format lacks."""
    if kind not in ACTIVATIONS:
        raise ExportError(f"{RUNTIME} has no activation {kind!r}; train with one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[kind]


def _convnet_content(net: ConvNet) -> tuple[dict[str, object], list[Tensor]]:
    if (kernel := net.layers[0].kernel_size[0]) != 2:
        raise ExportError(f"{RUNTIME} plays a ConvNet with a kernel of 2: got {kernel}; train with model.kernel=2")
    config = {
        "channels": net.out.in_channels,
        "dilations": [conv.dilation[0] for conv in net.layers],
        "batchnorm": False,
        "activation": _written_activation(net.activation.kind),
    }
    return config, [part for conv in (*net.layers, net.out) for part in (conv.weight, conv.bias)]


def _wavenet_content(net: WaveNet) -> tuple[dict[str, object], list[Tensor]]:
    layers, weights = [], []
    for array in net.arrays:
        first = array.layers[0]
        layers.append(
            {
                "input_size": array.rechannel.in_channels,
                "condition_size": 1,
                "head_size": array.head.out_channels,
                "channels": array.rechannel.out_channels,
                "kernel_size": first.conv.kernel_size[0],
                "dilations": [layer.conv.dilation[0] for layer in array.layers],
                "activation": _written_activation(first.activation.kind),
                "gated": first.gated,
                "head_bias": True,
            }
        )
        weights.append(array.rechannel.weight)
        for part in array.layers:
            weights += [part.conv.weight, part.conv.bias, part.mix.weight]
            # The very last layer passes nothing on, which is a convolution of zeros here.
            width = array.rechannel.out_channels
            weights += (
                [torch.zeros(width, width), torch.zeros(width)]
                if part.out is None
                else [part.out.weight, part.out.bias]
            )
        weights += [array.head.weight, array.head.bias]
    return {"layers": layers, "head": None, "head_scale": 1.0}, [*weights, torch.ones(1)]


def parse(data: dict[str, Any]) -> Foreign:
    """The model in a file's content; ValueError, KeyError or TypeError if there is none that can be played."""
    makers = {"WaveNet": _read_wavenet, "LSTM": _read_lstm, "ConvNet": _read_convnet, "Linear": _read_linear}
    name = str(data["architecture"])[:40]
    if name == CONTAINER:
        largest = max(data["config"]["submodels"], key=lambda part: float(part["max_value"]))["model"]
        if largest["architecture"] == CONTAINER:
            raise ValueError("a container in a container, which cannot be played here")
        return parse({"sample_rate": data.get("sample_rate"), **largest})
    if name not in makers:
        raise ValueError(f"architecture {name!r}; can play {', '.join((*makers, CONTAINER))}")
    weights, plan = _Weights(data["weights"]), Plan()
    makers[name](data["config"], weights, plan)
    weights.end()
    return checked_model(plan, data.get("sample_rate"))


class _Weights:
    """The flat list of weights, taken from its start."""

    def __init__(self, weights: list[float]) -> None:
        self.all, self.taken = tensor(weights, None), 0

    def take(self, *shape: int) -> Tensor:
        """The next weights, in a shape; ValueError if there are not enough."""
        size = math.prod(shape)
        if self.taken + size > self.all.numel():
            raise ValueError(f"it has {self.all.numel()} weights, fewer than its config asks for")
        self.taken += size
        return self.all[self.taken - size : self.taken].reshape(shape)

    def end(self) -> None:
        if self.taken != self.all.numel():
            raise ValueError(f"it has {self.all.numel()} weights, {self.taken} of which its config asks for")


def _read_linear(config: dict[str, Any], weights: _Weights, plan: Plan) -> None:
    taps = weights.take(1, 1, whole_number(config["receptive_field"], "receptive_field"))
    plan.add(Term(DRY, taps), bias=weights.take(1) if config["bias"] else None)


def _read_convnet(config: dict[str, Any], weights: _Weights, plan: Plan) -> None:
    """Dilated convolutions of two taps, one after another, and a linear layer."""
    x, width, channels = DRY, 1, whole_number(config["channels"], "channels")
    for dilation in config["dilations"]:
        kernel = weights.take(channels, width, 2)
        if config["batchnorm"]:
            mean, variance, scale, shift = (weights.take(channels) for _ in range(4))
            scale = scale / (variance + weights.take(1)).sqrt()
            kernel, bias = kernel * scale[:, None, None], shift - mean * scale
            if not (torch.isfinite(kernel).all() and torch.isfinite(bias).all()):
                raise ValueError("its batch normalisation divides by zero, or by the root of less")
        else:
            bias = weights.take(channels)
        term = Term(x, kernel, whole_number(dilation, "dilation"))
        x, width = layer(plan, term, bias=bias, activation=_activation_name(config["activation"])), channels
    plan.add(Term(x, weights.take(1, width, 1)), bias=weights.take(1))


def _read_lstm(config: dict[str, Any], weights: _Weights, plan: Plan) -> None:
    size, layers = (
        whole_number(config["hidden_size"], "hidden_size"),
        whole_number(config.get("num_layers", 1), "num_layers"),
    )
    if whole_number(config.get("input_size", 1), "input_size") != 1:
        raise ValueError("input_size must be 1")
    x, width = DRY, 1
    for _ in range(layers):
        inputs, own = weights.take(4 * size, width + size).split((width, size), dim=1)
        x, width = cells.lstm(plan, [Term(x, inputs[..., None])], own, weights.take(4 * size)), size
        # The initial state in the file is not used: a stream comes to rest by itself.
        weights.take(2, size)
    plan.add(Term(x, weights.take(1, size, 1)), bias=weights.take(1))


def _read_wavenet(config: dict[str, Any], weights: _Weights, plan: Plan) -> None:
    """Arrays of dilated convolutions, the sum of whose layers is the head of the next array."""
    if config.get("head") is not None or config.get("condition_dsp") is not None:
        raise ValueError("a WaveNet with a head network or a condition network, which cannot be played here")
    arrays = config["layers"]
    for before, after in pairwise(arrays):
        if whole_number(before["channels"], "channels") != after["input_size"]:
            raise ValueError("input_size is not the number of channels of the array before")
        if _head(before)[0] != after["channels"]:
            raise ValueError("head_size is not the number of channels of the next array")
    if not arrays or arrays[0]["input_size"] != 1 or _head(arrays[-1])[0] != 1:
        raise ValueError("its first array has not one input, or its last head not one channel")
    x, head = DRY, None
    for array in arrays:
        x, head = _read_array(array, weights, plan, x, head)
    plan.mix(Product((head,), float(weights.take(1))))


def _read_array(array: dict[str, Any], weights: _Weights, plan: Plan, x: int, head: int | None) -> tuple[int, int]:
    """Append an array of layers over the value x; return the next array's x and head."""
    _check_plain(array)
    channels, dilations = whole_number(array["channels"], "channels"), array["dilations"]
    kernels = array["kernel_sizes"] if "kernel_sizes" in array else array["kernel_size"]
    kernels = kernels if isinstance(kernels, list) else [kernels] * len(dilations)
    x = plan.add(Term(x, weights.take(channels, plan.width(x), 1)))
    heads = [] if head is None else [head]
    for kernel, dilation, active in zip(kernels, dilations, _activations(array, len(dilations)), strict=True):
        wide = 2 * channels if active[1] else channels
        conv = weights.take(wide, channels, whole_number(kernel, "kernel_size"))
        parts = conv, weights.take(wide), weights.take(wide, 1, 1)
        z = _read_layer(plan, x, parts, whole_number(dilation, "dilation"), *active)
        out = plan.add(Term(z, weights.take(channels, channels, 1)), bias=weights.take(channels))
        x = plan.mix(Product((x,)), Product((out,)))
        heads.append(z)
    size, taps, bias = _head(array)
    total = plan.mix(*(Product((z,)) for z in heads))
    return x, plan.add(Term(total, weights.take(size, channels, taps)), bias=weights.take(size) if bias else None)


def _read_layer(
    plan: Plan, x: int, parts: tuple[Tensor, Tensor, Tensor], dilation: int, activation: str, gated: bool
) -> int:
    """act(dilated convolution + bias + mix of dry) [times a gate], of (conv (C or 2 C, C, K), bias, mix)."""
    pieces = list(zip(*(part.chunk(2) for part in parts), strict=True)) if gated else [parts]
    halves = [
        layer(plan, Term(x, conv, dilation), Term(DRY, mix), bias=bias, activation=active)
        for (conv, bias, mix), active in zip(pieces, (activation, "sigmoid"), strict=False)
    ]
    return plan.mix(Product(tuple(halves))) if gated else halves[0]


USUAL = {
    "bottleneck": lambda value, array: value == array["channels"],
    "groups_input": lambda value, array: value == 1,
    "groups_input_mixin": lambda value, array: value == 1,
    "layer1x1": lambda value, array: value.get("active", True) and value.get("groups", 1) == 1,
    "slimmable": lambda value, array: value is None,
    "packing": lambda value, array: value is None,
}
"""Settings of an array in newer files that can be played at these values alone."""


def _check_plain(array: dict[str, Any]) -> None:
    for key, value in array.items():
        active = isinstance(value, dict) and value.get("active") and (key.endswith("film") or key == "head1x1")
        if active or not USUAL.get(key, lambda value, array: True)(value, array):
            raise ValueError(f"a WaveNet with {key} {json.dumps(value)[:60]}, which cannot be played here")
    if whole_number(array["condition_size"], "condition_size") != 1:
        raise ValueError("condition_size must be 1")


def _head(array: dict[str, Any]) -> tuple[int, int, bool]:
    """Size and taps of an array's head, and whether it has a bias: an object in newer files, keys in older ones."""
    head = array.get("head") or {"out_channels": array["head_size"], "bias": array["head_bias"]}
    taps = whole_number(head.get("kernel_size", 1), "kernel_size")
    return whole_number(head["out_channels"], "head_size"), taps, bool(head["bias"])


def _activations(array: dict[str, Any], layers: int) -> list[tuple[str, bool]]:
    """The activation of each layer, and whether it is gated: one for all in older files, lists in newer ones."""
    names, gates = array["activation"], array.get("gating_mode", "gated" if array.get("gated") else "none")
    names, gates = ([x] * layers if not isinstance(x, list) else x for x in (names, gates))
    plain = [_activation_name(name) for name in names]
    if any(gate not in ("none", "gated") for gate in gates) or len(gates) != layers or len(plain) != layers:
        raise ValueError("gates of a kind that cannot be played here")
    return list(zip(plain, [gate == "gated" for gate in gates], strict=True))


def _activation_name(given: str | dict[str, Any]) -> str:
    name = given if isinstance(given, str) else given["type"]
    extra = {} if isinstance(given, str) else {key: given[key] for key in given if key != "type"}
    usual = {"LeakyReLU": {"negative_slope": 0.01}, "Hardtanh": {"min_val": -1.0, "max_val": 1.0}}
    if extra and extra != usual.get(name):
        raise ValueError(f"activation {str(given)[:60]}, which cannot be played here")
    return str(name).lower()
