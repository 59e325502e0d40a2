"""A recurrent model without feedback as a JSON file for Proteus and its kin (GuitarML), which add dry themselves."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from fxemu.models import LSTM
from fxemu.runtimes.base import ExportError, Format, Model
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
        return compared_with_reader(model, path)


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
