"""Models in JSON files of Proteus and its kin (GuitarML) as plans."""

from __future__ import annotations

from typing import Any

from fxemu.engine import cells
from fxemu.engine.plan import DRY, Plan, Product, Term
from fxemu.runtimes.foreign import Foreign, finished, tensor

RATE_HZ = 44_100
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
    own, heard = tensor(state["rec.weight_hh_l0"], rows, size), tensor(state["rec.weight_ih_l0"], rows, 1)
    biases = tuple(tensor(state[f"rec.bias_{part}_l0"], rows) for part in ("ih", "hh"))
    plan, inputs = Plan(), [Term(DRY, heard[..., None])]
    hidden = cells.lstm(plan, inputs, own, sum(biases)) if gates == 4 else cells.gru(plan, inputs, own, biases)
    wet = plan.add(Term(hidden, tensor(state["lin.weight"], 1, size)[..., None]), bias=tensor(state["lin.bias"], 1))
    if described["skip"]:
        plan.mix(Product((wet,)), Product((DRY,)))
    return finished(plan, RATE_HZ)
