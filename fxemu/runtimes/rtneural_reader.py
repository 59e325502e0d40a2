"""Models in JSON files of RTNeural (https://github.com/jatinchowdhury18/RTNeural) and of AIDA-X as plans.

Shapes: W width of what a layer hears, U its units, K taps, H hidden units.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fxemu.engine import cells
from fxemu.engine.plan import DRY, Plan, Product, Term
from fxemu.files import printable
from fxemu.runtimes.foreign import Foreign, activated, finished, layer, tensor, whole

# Where a file says none: RTNeural has no place for it, and AIDA-X is trained at this.
RATE_HZ = 48_000


def parse(data: dict[str, Any]) -> Foreign:
    """The model in a file's content; ValueError, KeyError or TypeError if there is none that can be played."""
    if data["in_shape"][-1] != 1:
        raise ValueError(f"in_shape: got {printable(str(data['in_shape']))[:40]}; can play models with one input")
    plan = Plan()
    dry = x = _scaled(plan, DRY, data.get("in_gain", 0))
    for given in data["layers"]:
        kind = str(given["type"])[:40]
        if kind not in LAYERS:
            raise ValueError(f"a layer of type {printable(kind)!r}; can play {', '.join(LAYERS)}")
        x = LAYERS[kind](plan, x, given)
    if data.get("in_skip"):
        x = plan.mix(Product((x,)), Product((dry,)))
    _scaled(plan, x, data.get("out_gain", 0))
    return finished(plan, float(data.get("metadata", {}).get("samplerate", RATE_HZ)))


def _scaled(plan: Plan, value: int, gain_db: float) -> int:
    if not -100 <= gain_db <= 100:
        raise ValueError(f"gain: got {printable(str(gain_db))[:40]}; must be from -100 to 100 dB")
    return plan.mix(Product((value,), 10 ** (gain_db / 20))) if gain_db else value


def _dense(plan: Plan, x: int, given: dict[str, Any]) -> int:
    weight = tensor(given["weights"][0], plan.width(x), None)
    bias = tensor(given["weights"][1], weight.shape[1])
    return layer(plan, Term(x, weight.T[..., None]), bias=bias, activation=_activation(given))


def _convolution(plan: Plan, x: int, given: dict[str, Any]) -> int:
    if given.get("groups", 1) != 1:
        raise ValueError("a conv1d in groups, which cannot be played here")
    weight = tensor(given["weights"][0], whole(given["kernel_size"][0], "kernel_size"), plan.width(x), None)
    term = Term(x, weight.permute(2, 1, 0), whole(given["dilation"][0], "dilation"))
    return layer(plan, term, bias=tensor(given["weights"][1], weight.shape[2]), activation=_activation(given))


def _lstm(plan: Plan, x: int, given: dict[str, Any]) -> int:
    heard, own = _recurrent(given, plan.width(x), 4)
    return cells.lstm(plan, [Term(x, heard[..., None])], own, tensor(given["weights"][2], own.shape[0]))


def _gru(plan: Plan, x: int, given: dict[str, Any]) -> int:
    heard, own = _recurrent(given, plan.width(x), 3)
    biases = tensor(given["weights"][2], 2, own.shape[0])
    heard, own, *biases = (reset_first(part) for part in (heard, own, *biases))
    return cells.gru(plan, [Term(x, heard[..., None])], own, tuple(biases))


def _recurrent(given: dict[str, Any], width: int, gates: int) -> tuple[Tensor, Tensor]:
    """Weights (gates H, W) of what it hears and (gates H, H) of its own state."""
    own = tensor(given["weights"][1], None, None)
    size = own.shape[0]
    return tensor(given["weights"][0], width, gates * size).T, tensor(given["weights"][1], size, gates * size).T


def reset_first(gates: Tensor) -> Tensor:
    """The gates of a GRU (3 H, ...) from RTNeural's order z, r, n to PyTorch's r, z, n, or the reverse."""
    first, second, third = gates.chunk(3)
    return torch.cat((second, first, third))


def _activate(plan: Plan, x: int, given: dict[str, Any]) -> int:
    return activated(plan, x, _activation(given))


def _activation(given: dict[str, Any]) -> str:
    return str(given.get("activation") or "identity").lower()


LAYERS = {
    "dense": _dense,
    "time-distributed-dense": _dense,
    "conv1d": _convolution,
    "lstm": _lstm,
    "gru": _gru,
    "activation": _activate,
}
