"""A recurrent model without feedback as a JSON file for the AIDA-X plugin: RTNeural's keys and a few more."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import torch

from fxemu.engine.streaming.stream import Stream
from fxemu.models import GRU, LSTM
from fxemu.runtimes.base import ExportError, Format, Model
from fxemu.runtimes.foreign import Foreign, read_json
from fxemu.runtimes.rtneural import metadata, parse, recurrent_layers
from fxemu.runtimes.without_feedback import MOST_KNOBS, cell_with_dry, compared_with_reader, plain_predictor

RUNTIME = "AIDA-X"
UNITS = (8, 12, 16, 20, 24, 32, 40, 64, 80)


class AidaX(Format):
    """An AIDA-X JSON file, of an LSTM or a GRU without feedback, of up to 79 units and a dry gain."""

    suffix = "-aidax.json"
    holds_pair = turnable = True

    @torch.no_grad()
    def write(self, model: Model, path: Path) -> None:
        predictor = plain_predictor(model, RUNTIME, MOST_KNOBS)
        if not isinstance(predictor, LSTM | GRU):
            raise ExportError(f"{RUNTIME} plays LSTM and GRU: got {type(predictor).__name__}; train with model=lstm or "
                              "model=gru")  # fmt: skip
        # `in_skip` adds dry as it is; the gain that was learned is carried by a unit, and `in_skip` is off.
        needed = predictor.width + int(predictor.skip is not None)
        units = next((u for u in UNITS if u >= needed), None)
        if units is None:
            raise ExportError(f"{RUNTIME} has room for {UNITS[-1]} units: got {needed}, one of them for the dry gain; "
                              f"train with model.width={UNITS[-1] - 1} or less")  # fmt: skip
        data = recurrent_layers(predictor, cell_with_dry(predictor, units)) | {
            "in_skip": 0,
            "in_gain": 0,
            "out_gain": 0,
        }
        # Where the plugin's knobs stand when it checks itself is not known.
        batches = {} if model.loop.knobs else _batches(model, parse(data))
        path.write_text(json.dumps(data | batches | {"metadata": metadata(model)}))

    def check(self, model: Model, path: Path) -> str:
        return compared_with_reader(model, partial(parse, read_json(path)))


def _batches(model: Model, read: Foreign) -> dict[str, list[float]]:
    """A pair by which the plugin checks itself from its first moment, before it has come to rest."""
    dry, _ = model.reference_pair()
    wet = Stream(read, *torch.zeros(2, 0)).process(dry)
    return {"input_batch": dry.tolist(), "output_batch": wet.tolist()}
