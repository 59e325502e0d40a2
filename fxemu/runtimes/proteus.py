"""JSON files of Proteus and other GuitarML plugins, written and read.

Written: an LSTM without feedback, to which those runtimes add dry themselves.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from fxemu.engine import cells
from fxemu.engine.plan import DRY, Plan, Product, Term
from fxemu.models import LSTM
from fxemu.runtimes.base import ExportError, Format, Model
from fxemu.runtimes.foreign import Foreign, checked_model, read_json, tensor
from fxemu.runtimes.without_feedback import cell_with_dry, compared_with_reader, plain_predictor

RUNTIME = "Proteus"
UNITS = 40
RATE_HZ = 44_100


class Proteus(Format):
    """A Proteus JSON file, of an LSTM without feedback, of up to 39 units, at 44.1 kHz."""

    suffix = "-proteus.json"

    @torch.no_grad()
    def write(self, model: Model, path: Path) -> None:
        predictor = plain_predictor(model, RUNTIME)
        if not isinstance(predictor, LSTM):
            raise ExportError(f"{RUNTIME} plays an LSTM: got {type(predictor).__name__}; train with model=lstm")
        if model.sample_rate != RATE_HZ:
            raise ExportError(
                f"{RUNTIME} runs at {RATE_HZ} Hz: got {model.sample_rate}; train with data.sample_rate={RATE_HZ}"
            )
        if predictor.width >= UNITS:
            raise ExportError(f"{RUNTIME} has {UNITS} units, one of which carries the dry gain: got {predictor.width}; "
                              f"train with model.width={UNITS - 1} or less")  # fmt: skip
        cell = cell_with_dry(predictor, UNITS, added=1.0)
        state = {
            "rec.weight_ih_l0": cell.input,
            "rec.weight_hh_l0": cell.hidden,
            "rec.bias_ih_l0": cell.input_bias,
            "rec.bias_hh_l0": cell.hidden_bias,
            "lin.weight": cell.head[None],
            "lin.bias": cell.head_bias[None],
        }
        path.write_text(json.dumps({"model_data": DATA, "state_dict": {key: w.tolist() for key, w in state.items()}}))

    def check(self, model: Model, path: Path) -> str:
        return compared_with_reader(model, lambda knobs: parse(read_json(path)))


DATA = {
    "model": "SimpleRNN",
    "input_size": 1,
    "skip": 1,
    "output_size": 1,
    "unit_type": "LSTM",
    "num_layers": 1,
    "hidden_size": UNITS,
    "bias_fl": True,
}


# What is played: one LSTM, or one GRU, of one input.
USUAL = {
    "model": ("SimpleRNN",),
    "unit_type": ("LSTM", "GRU"),
    "num_layers": (1,),
    "input_size": (1,),
    "output_size": (1,),
}


def parse(data: dict[str, Any]) -> Foreign:
    """The model in a file's content; ValueError, KeyError or TypeError if there is none that can be played."""
    described, state = data["model_data"], data["state_dict"]
    for key, usual in USUAL.items():
        if described[key] not in usual:
            raise ValueError(f"{key}: got {str(described[key])[:40]!r}; can play {', '.join(map(str, usual))}")
    gates = 4 if described["unit_type"] == "LSTM" else 3
    own = tensor(state["rec.weight_hh_l0"], None, None)
    rows, size = gates * own.shape[1], own.shape[1]
    own, weight = tensor(state["rec.weight_hh_l0"], rows, size), tensor(state["rec.weight_ih_l0"], rows, 1)
    biases = tuple(tensor(state[f"rec.bias_{part}_l0"], rows) for part in ("ih", "hh"))
    plan, inputs = Plan(), [Term(DRY, weight[..., None])]
    hidden = cells.lstm(plan, inputs, own, sum(biases)) if gates == 4 else cells.gru(plan, inputs, own, biases)
    wet = plan.add(Term(hidden, tensor(state["lin.weight"], 1, size)[..., None]), bias=tensor(state["lin.bias"], 1))
    if described["skip"]:
        plan.mix(Product((wet,)), Product((DRY,)))
    return checked_model(plan, RATE_HZ)
