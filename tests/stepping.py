"""A predictor, one sample after the other."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from fxemu.models import Predictor


def stepped(model: Predictor, dry: Tensor, wet: Tensor) -> Tensor:
    """What `step` says of dry and wet (B, C, T), from the start and with the wet sample before: (B, P, T)."""
    state, steps = model.initial_state(dry.shape[0]), []
    for now, last in zip(dry.unbind(-1), pad(wet, (1, -1)).unbind(-1), strict=True):
        out, state = model.step(now, last, state)
        steps.append(out)
    return torch.stack(steps, dim=-1)
