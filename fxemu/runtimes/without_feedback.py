"""Models for runtimes that never feed their output back: raw samples in and out, and no feedback."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fxemu.engine.streaming.stream import render
from fxemu.models import GRU, LSTM, ConvNet, Linear, Predictor, WaveNet
from fxemu.models.knobs import Knob, positions
from fxemu.runtimes.base import ExportError, Model, compared
from fxemu.runtimes.foreign import Foreign

# The dry gain is carried by a unit over dry times this, where tanh is a straight line to 3e-6.
SMALL = 2.0**-9
# Knobs that a file of RTNeural or AIDA-X may have.
MOST_KNOBS = 2
# Where a sigmoid is 0 or 1.
SHUT = 30.0


@torch.no_grad()
def plain_predictor(model: Model, runtime: str, most_knobs: int = 0) -> Predictor:
    """The predictor, its output amplified by the loop's gain; ExportError if it is fed back, or not of raw samples.

    Knobs of its first layer become inputs of it beside dry, of which 0 is one end and 1 the other; ExportError for more
    than `most_knobs`, and for those that turn more than that layer.
    """
    loop = model.loop
    if loop.knobs and (loop.conditioning != "inputs" or len(loop.knobs) > most_knobs):
        setting = " ".join(f"--knob {knob.name}={knob.default:g}" for knob in loop.knobs)
        raise ExportError(f"{runtime} knows {most_knobs or 'no'} knobs at most, as inputs of the first layer: export a "
                          f"setting, such as {setting}, or train with conditioning=inputs")  # fmt: skip
    if loop.predictor.feedback:
        raise ExportError(f"{runtime} never feeds its output back, and this model is fed back: train it with "
                          "model.feedback=false, or export to c, lv2, onnx or torchscript")  # fmt: skip
    if not loop.plain_samples:
        raise ExportError(f"{runtime} knows raw samples only: train with repr=raw, or export to c, lv2, onnx or "
                          "torchscript")  # fmt: skip
    predictor, gain, dry_gain = copy.deepcopy(loop.predictor), float(loop.gain), float(loop.dry_gain)
    if gain != 1:
        for parameter in _output_parameters(predictor):
            parameter.mul_(gain)
    if dry_gain != 1:
        for weight in _input_weights(predictor):
            weight.mul_(dry_gain)
    if loop.knobs:
        _add_inputs(predictor, loop.turning.columns)
    return predictor


def _add_inputs(predictor: Predictor, columns: Tensor) -> None:
    """Make knobs inputs of the first layer, from 0 to 1, given their weights (U, K) for positions from -1 to 1."""
    bias = predictor.get_parameter(predictor.first_bias)
    bias.sub_(columns.sum(1))
    weight = predictor.get_parameter(predictor.first_bias.replace("bias", "weight"))
    added = 2 * columns
    if weight.ndim == 3:
        # Of a window the newest sample: the others would be knobs as they stood before.
        added = F.pad(added[..., None], (weight.shape[-1] - 1, 0))
    weight.data = torch.cat((weight, added), dim=1)


def _input_weights(predictor: Predictor) -> list[nn.Parameter]:
    """The weights that dry is multiplied by."""
    if isinstance(predictor, WaveNet):
        mixes = [layer.mix for array in predictor.arrays for layer in array.layers]
        return [layer.weight for layer in (predictor.arrays[0].rechannel, *mixes)]
    if isinstance(predictor, ConvNet):
        return [predictor.layers[0].weight]
    if isinstance(predictor, LSTM | GRU):
        skip = [] if predictor.skip is None else [predictor.skip.weight]
        return [predictor.recurrent.weight_ih_l0, *skip]
    first = "dry" if getattr(predictor, "embed", None) is None else "embed"
    layers = [getattr(predictor, name, None) for name in (first, "skip")]
    return [layer.weight for layer in layers if layer is not None]


def _output_parameters(predictor: Predictor) -> list[nn.Parameter]:
    """The parameters of the linear layers whose sum is the output."""
    if isinstance(predictor, WaveNet):
        layers = [predictor.arrays[-1].head]
    elif isinstance(predictor, Linear):
        layers = [predictor.dry]
    else:
        layers = [getattr(predictor, name, None) for name in ("out", "skip")]
    return [parameter for layer in layers if layer is not None for parameter in layer.parameters()]


@dataclass(frozen=True)
class Cell:
    """A recurrent cell in PyTorch's layout with a linear layer after it: G gates of H units.

    `input` (G H, inputs), `hidden` (G H, H), `input_bias`, `hidden_bias` (G H,), `head` (H,), `head_bias` ().
    """

    input: Tensor
    hidden: Tensor
    input_bias: Tensor
    hidden_bias: Tensor
    head: Tensor
    head_bias: Tensor

    @property
    def units(self) -> int:
        return self.head.numel()


def cell_with_dry(predictor: LSTM | GRU, units: int | None = None, added: float = 0.0) -> Cell:
    """The cell, padded to `units` (None: as few as it takes), with the dry gain in a unit of its own.

    These runtimes have no dry gain, or a fixed one (`added`, which is taken off). The unit's gates are held open by
    their biases, so that it is tanh of a small multiple of dry, which the head makes large again.
    """
    if predictor.filter is not None:
        raise ExportError(f"its cell sees dry through a filter of {predictor.filter.numel()} taps, and the file has "
                          "no place for one; train with model.filter_taps=0, or export to c, lv2, onnx or "
                          "torchscript")  # fmt: skip
    gain = (0.0 if predictor.skip is None else float(predictor.skip.weight)) - added
    needed = predictor.width + int(gain != 0)
    more = (units or needed) - predictor.width
    if more < needed - predictor.width:
        raise ExportError(f"its {predictor.width} units and the dry gain need {needed}, and there are {units}")
    weights = predictor.recurrent.weight_ih_l0, predictor.recurrent.weight_hh_l0
    biases = predictor.recurrent.bias_ih_l0, predictor.recurrent.bias_hh_l0
    inputs, hidden = (_padded(w.detach(), predictor.gates, more) for w in weights)
    input_bias, hidden_bias = (_padded(b.detach()[:, None], predictor.gates, more)[:, 0] for b in biases)
    head = F.pad(predictor.out.weight.detach()[0], (0, more))
    if gain:
        unit, wide = predictor.width, predictor.width + more
        # LSTM: i open, f shut, o open. GRU: z shut.
        for gate, bias in {LSTM: {0: SHUT, 1: -SHUT, 3: SHUT}, GRU: {1: -SHUT}}[type(predictor)].items():
            input_bias[gate * wide + unit] = bias
        inputs[2 * wide + unit, 0] = SMALL
        head[unit] = gain / SMALL
    return Cell(inputs, F.pad(hidden, (0, more)), input_bias, hidden_bias, head, predictor.out.bias.detach()[0])


def _padded(rows: Tensor, gates: int, more: int) -> Tensor:
    """Rows (G H, n) with `more` rows of zeros at the end of each gate's."""
    return F.pad(rows.reshape(gates, -1, rows.shape[1]), (0, 0, 0, more)).flatten(0, 1).clone()


def compared_with_reader(model: Model, read: Callable[[Sequence[float]], Foreign]) -> str:
    """The sentence of `compared`, for a file as our reader has read it.

    Args:
        model: that was written.
        read: reads the file, its knobs standing at places from 0 to 1. They are compared at their defaults, and where
            else test pairs have them.
    """
    loop, limit, found = model.loop, float(model.loop.limit), ""
    for settings in (model.default_settings, model.turned_settings) if loop.knobs else ({},):
        at = positions(loop.knobs, settings)
        still, file = replace(model, loop=loop.at(at)), read(((at + 1) / 2).tolist())
        dry, wet = still.reference_pair()
        found = compared(model, render(file, dry).clamp(-limit, limit), wet, "fxemu's reader of such files")
    return f"{found}{_told(loop.knobs)}"


def _told(knobs: Sequence[Knob]) -> str:
    """Which inputs the knobs are, as the end of a sentence."""
    if not knobs:
        return ""
    tapers = {True: " by ratio", False: ""}
    ranges = [f"{k.name} {k.low:g} to {k.high:g}{' ' * bool(k.unit)}{k.unit}{tapers[k.by_ratio]}" for k in knobs]
    return f", at two settings; its inputs after the audio go from 0 to 1, not smoothed: {', '.join(ranges)}"
