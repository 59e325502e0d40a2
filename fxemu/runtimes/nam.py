"""A model without feedback as a .nam file (Neural Amp Modeler): a WaveNet, an LSTM, a ConvNet or a linear filter."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor, nn

from fxemu.models import LSTM, ConvNet, Linear, WaveNet
from fxemu.runtimes.base import ExportError, Format, Model
from fxemu.runtimes.without_feedback import Cell, cell_with_dry, compared_with_reader, plain_predictor

RUNTIME = "Neural Amp Modeler"
# What every plugin that reads .nam files understands.
VERSION = "0.5.4"
ACTIVATIONS = {"tanh": "Tanh", "relu": "ReLU", "sigmoid": "Sigmoid", "softsign": "Softsign"}


class Nam(Format):
    """A .nam file, of a WaveNet, LSTM, ConvNet or linear model without feedback, for Neural Amp Modeler."""

    suffix = ".nam"

    @torch.no_grad()
    def write(self, model: Model, path: Path) -> None:
        predictor = plain_predictor(model, RUNTIME)
        if isinstance(predictor, WaveNet):
            config, weights = _wavenet(predictor)
        elif isinstance(predictor, LSTM):
            config, weights = _lstm(cell_with_dry(predictor), model.loop.warm_up)
        elif isinstance(predictor, ConvNet):
            config, weights = _convnet(predictor)
        elif isinstance(predictor, Linear):
            config = {"receptive_field": predictor.receptive_field, "bias": True}
            weights = [predictor.dry.weight, predictor.dry.bias]
        else:
            raise ExportError(f"{RUNTIME} plays WaveNet, LSTM, ConvNet and linear models: got "
                              f"{type(predictor).__name__}; train with model=wavenet or model=lstm")  # fmt: skip
        content = {
            "version": VERSION,
            "architecture": type(predictor).__name__,
            "config": config,
            "weights": torch.cat([w.flatten() for w in weights]).tolist(),
            "sample_rate": model.sample_rate,
            "metadata": {"name": model.name, "modeled_by": "fxemu", "date": _now()},
        }
        path.write_text(json.dumps(content))

    def check(self, model: Model, path: Path) -> str:
        return compared_with_reader(model, path)


def _now() -> dict[str, int]:
    now = datetime.now(UTC)
    return {unit: getattr(now, unit) for unit in ("year", "month", "day", "hour", "minute", "second")}


def _lstm(cell: Cell, warm_up: int) -> tuple[dict[str, int], list[Tensor]]:
    """Config and weights; the state to start from is that after `warm_up` samples of silence."""
    net = nn.LSTM(1, cell.units)
    for name in ("input", "hidden"):
        letter = name[0]
        getattr(net, f"weight_{letter}h_l0").copy_(getattr(cell, name))
        getattr(net, f"bias_{letter}h_l0").copy_(getattr(cell, f"{name}_bias"))
    _, (hidden, memory) = net(torch.zeros(warm_up, 1))
    matrix = torch.cat((cell.input, cell.hidden), dim=1)
    weights = [matrix, cell.input_bias + cell.hidden_bias, hidden, memory, cell.head, cell.head_bias]
    return {"input_size": 1, "hidden_size": cell.units, "num_layers": 1}, weights


def _convnet(net: ConvNet) -> tuple[dict[str, object], list[Tensor]]:
    if (kernel := net.layers[0].kernel_size[0]) != 2:
        raise ExportError(f"{RUNTIME} plays a ConvNet with a kernel of 2: got {kernel}; train with model.kernel=2")
    config = {
        "channels": net.out.in_channels,
        "dilations": [conv.dilation[0] for conv in net.layers],
        "batchnorm": False,
        "activation": ACTIVATIONS[net.activation.kind],
    }
    return config, [part for conv in (*net.layers, net.out) for part in (conv.weight, conv.bias)]


def _wavenet(net: WaveNet) -> tuple[dict[str, object], list[Tensor]]:
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
                "activation": ACTIVATIONS[first.activation.kind],
                "gated": first.gated,
                "head_bias": True,
            }
        )
        weights.append(array.rechannel.weight)
        for layer in array.layers:
            weights += [layer.conv.weight, layer.conv.bias, layer.mix.weight]
            # The very last layer passes nothing on, which is a convolution of zeros here.
            width = array.rechannel.out_channels
            weights += (
                [torch.zeros(width, width), torch.zeros(width)]
                if layer.out is None
                else [layer.out.weight, layer.out.bias]
            )
        weights += [array.head.weight, array.head.bias]
    return {"layers": layers, "head": None, "head_scale": 1.0}, [*weights, torch.ones(1)]
