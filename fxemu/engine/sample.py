"""One sample of one step of a plan in PyTorch: what rollouts on a GPU and the exported graphs are made of.

Shapes: B batch, W width of a value, U units of the step, N taps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import torch
from torch import Tensor

from fxemu.activations import activate, look_up
from fxemu.plan import Layer, Lookup, Mix, Term

# (value, span, dilation) to every `dilation`-th of the value's last span + 1 samples, oldest first: (B, W, N).
Window = Callable[[int, int, int], Tensor]


def one_sample(
    step: Layer | Mix | Lookup, window: Window, terms: Sequence[Term] = (), given: Tensor | float = 0.0
) -> Tensor:
    """What a step makes of the windows that it reads: (B, U); of a layer, `given` plus these terms of it, activated."""
    if isinstance(step, Layer):
        z = sum((window(t.source, t.span, t.dilation).flatten(1) @ t.weight.flatten(1).T for t in terms), given)
    elif isinstance(step, Mix):
        z = sum(p.scale * reduce(torch.mul, (window(f, 0, 1)[..., 0] for f in p.factors)) for p in step.products)
    else:
        z = look_up(step.table, window(step.source, 0, 1), step.nearest)[..., 0]
    return activate(z[..., None], step.activation)[..., 0]
