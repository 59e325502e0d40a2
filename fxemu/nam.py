"""Models in .nam files (Neural Amp Modeler, https://github.com/sdatkinson/neural-amp-modeler): reading and playing.

A file is untrusted: it is plain JSON, its numbers must be finite, and as many as its configuration asks for.
Shapes: C channels, K taps, H hidden units, T samples.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LARGEST_BYTES = 100_000_000
LARGEST_SIZE = 1 << 20  # of any number in a configuration
BLOCK = 1 << 16
DEFAULT_RATE_HZ = 48_000
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "Tanh": torch.tanh,
    "Fasttanh": torch.tanh,
    "Hardtanh": F.hardtanh,
    "ReLU": torch.relu,
    "LeakyReLU": F.leaky_relu,
    "Sigmoid": torch.sigmoid,
    "SiLU": F.silu,
    "Hardswish": F.hardswish,
    "Softsign": F.softsign,
}


class NamError(ValueError):
    """A file that is no .nam model, or one that cannot be played here; the message names it and says why."""


class NamModel(ABC):
    """A model that plays dry (T,) to wet (T,), starting after silence."""

    receptive_field: int | None
    """Dry samples, the present one included, that a wet one depends on; None for all before it."""
    sample_rate: int

    @abstractmethod
    def play(self, dry: Tensor) -> Tensor:
        """dry (T,) to wet (T,)."""


def read(path: Path) -> NamModel:
    """The model in a file.

    Raises:
        NamError: for a file that is missing, too large, not JSON, of another architecture, or whose weights do not fit.
    """
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise NamError(f"{path}: larger than {LARGEST_BYTES} bytes")
        return parse(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise NamError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NamError(f"{path}: no .nam file that can be played: {_reason(error)}") from error


def parse(data: dict[str, Any]) -> NamModel:
    """The model in a file's content; ValueError, KeyError or TypeError if there is none."""
    makers = {"WaveNet": _wavenet, "LSTM": _lstm}
    name = str(data["architecture"])[:40]
    if name not in makers:
        raise ValueError(f"architecture {name!r}; can play {', '.join(makers)}")
    weights = _Weights(data["weights"])
    model = makers[name](data["config"], weights)
    weights.end()
    model.sample_rate = _whole(data.get("sample_rate") or DEFAULT_RATE_HZ, "sample_rate")
    return model


class _Weights:
    """The flat list of weights, taken from its start."""

    def __init__(self, weights: list[float]) -> None:
        self.all = torch.tensor(weights, dtype=torch.float32)
        self.taken = 0
        if self.all.ndim != 1 or not torch.isfinite(self.all).all():
            raise ValueError("its weights are not a list of finite numbers")

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


@dataclass
class _Layer:
    """act(dilated convolution + mix of dry) [times a gate], and what of it is added to the layer's input."""

    weight: Tensor  # (C or 2C, C, K)
    bias: Tensor
    dilation: int
    mix: Tensor  # (C or 2C, 1, 1)
    out: Tensor  # (C, C, 1)
    out_bias: Tensor
    activation: Callable[[Tensor], Tensor]
    gated: bool

    @property
    def memory(self) -> int:
        return (self.weight.shape[-1] - 1) * self.dilation

    def __call__(self, x: Tensor, dry: Tensor) -> tuple[Tensor, Tensor]:
        """x (C, T), dry (1, T') to the next x and what this layer says, both (C, T - memory)."""
        z = F.conv1d(x, self.weight, self.bias, dilation=self.dilation)
        z = z + F.conv1d(_latest(dry, z.shape[-1]), self.mix)
        if self.gated:
            z, gate = z.chunk(2)
            z = self.activation(z) * torch.sigmoid(gate)
        else:
            z = self.activation(z)
        return _latest(x, z.shape[-1]) + F.conv1d(z, self.out, self.out_bias), z


@dataclass
class _Array:
    rechannel: Tensor
    layers: list[_Layer]
    head: Tensor
    head_bias: Tensor | None


class WaveNet(NamModel):
    """Arrays of dilated convolutions, the sum of whose layers is the head of the next array."""

    def __init__(self, arrays: list[_Array], scale: float) -> None:
        self.arrays, self.scale = arrays, scale
        self.receptive_field = 1 + sum(layer.memory for array in arrays for layer in array.layers)

    @torch.inference_mode()
    def play(self, dry: Tensor) -> Tensor:
        past = self.receptive_field - 1
        padded = F.pad(dry.float(), (past, 0))
        return torch.cat([self._block(padded[i : i + past + BLOCK]) for i in range(0, dry.numel(), BLOCK)])

    def _block(self, dry: Tensor) -> Tensor:
        x = dry = dry[None]
        samples, head = dry.shape[-1] - self.receptive_field + 1, None
        for array in self.arrays:
            x = F.conv1d(x, array.rechannel)
            for layer in array.layers:
                x, said = layer(x, dry)
                head = _latest(said, samples) if head is None else head + _latest(said, samples)
            head = F.conv1d(head, array.head, array.head_bias)
        return self.scale * head[0]


class LSTM(NamModel):
    """PyTorch's LSTM with a linear layer after it, and the state that it starts from."""

    receptive_field = None

    def __init__(self, net: nn.LSTM, state: tuple[Tensor, Tensor], head: Tensor, bias: Tensor) -> None:
        self.net, self.state, self.head, self.bias = net, state, head, bias

    @torch.inference_mode()
    def play(self, dry: Tensor) -> Tensor:
        hidden, _ = self.net(dry.float()[:, None], self.state)
        return hidden @ self.head + self.bias


def _wavenet(config: dict[str, Any], weights: _Weights) -> WaveNet:
    if config.get("head") is not None or config.get("condition_dsp") is not None:
        raise ValueError("a WaveNet with a head network or a condition network, which cannot be played here")
    channels, arrays = 0, []
    for given in config["layers"]:
        arrays.append(_array(given, weights))
        if channels and _whole(given["input_size"], "input_size") != channels:
            raise ValueError("input_size is not the number of channels of the array before")
        channels = _whole(given["channels"], "channels")
    if not arrays or arrays[-1].head.shape[0] != 1:
        raise ValueError("its last head has not one channel")
    for before, after in pairwise(arrays):
        if before.head.shape[0] != after.rechannel.shape[0]:
            raise ValueError("head_size is not the number of channels of the next array")
    return WaveNet(arrays, float(weights.take(1)))


PLAIN = {
    "bottleneck": lambda value, given: value == given["channels"],
    "groups_input": lambda value, given: value == 1,
    "groups_input_mixin": lambda value, given: value == 1,
    "layer1x1": lambda value, given: value.get("active", True) and value.get("groups", 1) == 1,
    "slimmable": lambda value, given: value is None,
    "packing": lambda value, given: value is None,
}
"""What newer files may say that is playable only where it says the usual."""


def _array(given: dict[str, Any], weights: _Weights) -> _Array:
    for key, value in given.items():
        active = isinstance(value, dict) and value.get("active") and (key.endswith("film") or key == "head1x1")
        if active or not PLAIN.get(key, lambda value, given: True)(value, given):
            raise ValueError(f"a WaveNet with {key} {json.dumps(value)[:60]}, which cannot be played here")
    channels, dilations = _whole(given["channels"], "channels"), given["dilations"]
    if _whole(given["condition_size"], "condition_size") != 1:
        raise ValueError("condition_size must be 1")
    kernels = given["kernel_sizes"] if "kernel_sizes" in given else given["kernel_size"]
    kernels = kernels if isinstance(kernels, list) else [kernels] * len(dilations)
    rechannel = weights.take(channels, _whole(given["input_size"], "input_size"), 1)
    sizes = zip(kernels, dilations, _activations(given, len(dilations)), strict=True)
    layers = [_layer(channels, _whole(k, "kernel_size"), _whole(d, "dilation"), *a, weights) for k, d, a in sizes]
    # Newer files have an object, older ones three keys.
    head = given.get("head") or {"out_channels": given["head_size"], "kernel_size": 1, "bias": given["head_bias"]}
    if head.get("kernel_size", 1) != 1:
        raise ValueError("a head of more than one tap, which cannot be played here")
    size = _whole(head["out_channels"], "head_size")
    return _Array(rechannel, layers, weights.take(size, channels, 1), weights.take(size) if head["bias"] else None)


def _layer(channels: int, kernel: int, dilation: int, activation: str, gated: bool, weights: _Weights) -> _Layer:
    wide = 2 * channels if gated else channels
    parts = weights.take(wide, channels, kernel), weights.take(wide), dilation, weights.take(wide, 1, 1)
    return _Layer(*parts, weights.take(channels, channels, 1), weights.take(channels), ACTIVATIONS[activation], gated)


def _activations(given: dict[str, Any], layers: int) -> list[tuple[str, bool]]:
    """The activation of each layer, and whether it is gated: one for all in older files, lists in newer ones."""
    names, gates = given["activation"], given.get("gating_mode", "gated" if given.get("gated") else "none")
    names, gates = ([x] * layers if not isinstance(x, list) else x for x in (names, gates))
    plain = [_activation_name(name) for name in names]
    if any(gate not in ("none", "gated") for gate in gates) or len(gates) != layers or len(plain) != layers:
        raise ValueError("gates of a kind that cannot be played here")
    return list(zip(plain, [gate == "gated" for gate in gates], strict=True))


def _activation_name(given: str | dict[str, Any]) -> str:
    name, extra = (
        (given, {}) if isinstance(given, str) else (given["type"], {k: given[k] for k in given if k != "type"})
    )
    usual = {"LeakyReLU": {"negative_slope": 0.01}, "Hardtanh": {"min_val": -1.0, "max_val": 1.0}}
    if name not in ACTIVATIONS or (extra and extra != usual.get(name)):
        raise ValueError(f"activation {str(given)[:60]}; can play {', '.join(ACTIVATIONS)}")
    return name


def _lstm(config: dict[str, Any], weights: _Weights) -> LSTM:
    size, layers = _whole(config["hidden_size"], "hidden_size"), _whole(config.get("num_layers", 1), "num_layers")
    if _whole(config.get("input_size", 1), "input_size") != 1:
        raise ValueError("input_size must be 1")
    parts = []
    for layer in range(layers):
        inputs = 1 if layer == 0 else size
        parts.append((weights.take(4 * size, inputs + size), weights.take(4 * size), weights.take(2, 1, size)))
    # Only now are there known to be as many weights as the sizes ask for.
    net = nn.LSTM(1, size, layers).requires_grad_(False)
    for layer, (matrix, bias, _) in enumerate(parts):
        inputs = matrix.shape[1] - size
        for name, value in (("weight_ih", matrix[:, :inputs]), ("weight_hh", matrix[:, inputs:]), ("bias_ih", bias)):
            getattr(net, f"{name}_l{layer}").copy_(value)
        getattr(net, f"bias_hh_l{layer}").zero_()
    hidden, cell = (torch.cat([start[i] for *_, start in parts]) for i in (0, 1))
    return LSTM(net, (hidden, cell), weights.take(size), weights.take(1))


def _whole(value: Any, name: str) -> int:
    """A whole number from 1 to LARGEST_SIZE."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise ValueError(f"{name}: got {str(value)[:40]!r}; must be a whole number")
    if not 1 <= value <= LARGEST_SIZE:
        raise ValueError(f"{name}: got {value}; must be from 1 to {LARGEST_SIZE}")
    return int(value)


def _latest(x: Tensor, samples: int) -> Tensor:
    return x[..., x.shape[-1] - samples :]


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it has no {str(error.args[0])[:40]}"
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
