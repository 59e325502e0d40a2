"""Mu-law companding as activations: the amplitude of a sample, near-logarithmic.

Source of the formula: ITU-T G.711, continuous form, as in `torchaudio.functional.mu_law_encoding` before rounding.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from fxemu.engine.activations.record import F, elementwise

# No sample needs more than 1; a diverging net must not reach infinity, where its gradient would be NaN.
EXPAND_LIMIT = 2.0
# Of the output at the limit, (mu + 1)^2 - 1 over mu; a little below it, to allow for rounding.
NEARLY = 0.9999


def mulaw_compress(x: Tensor, mu: float) -> Tensor:
    """sign(x) ln(1 + mu |x|) / ln(1 + mu): [-1, 1] to [-1, 1], odd, steepest at 0; continues beyond 1."""
    return x.sign() * torch.log1p(mu * x.abs()) / math.log1p(mu)


def mulaw_expand(y: Tensor, mu: float) -> Tensor:
    """The inverse of `mulaw_compress`: sign(y) ((1 + mu)^|y| - 1) / mu, |y| held at `EXPAND_LIMIT`."""
    return y.sign() * torch.expm1(y.abs().clamp_max(EXPAND_LIMIT) * math.log1p(mu)) / mu


def onnx_expm1(graph: Any, x: Any) -> Any:
    """e^x - 1, which ONNX has no operator for; dividing by mu makes its rounding small."""
    return graph.op("Sub", graph.op("Exp", x), graph.op("Constant", value_t=torch.tensor(1.0)))


RECORDS = {
    "mulaw_compress": elementwise(
        torch=mulaw_compress,
        slope=lambda y, mu: mu / math.log1p(mu) * torch.exp(-y.abs() * math.log1p(mu)),
        numba=lambda x, mu: math.copysign(math.log1p(mu * abs(x)) / math.log1p(mu), x),
        numba_slope=lambda y, mu: mu / math.log1p(mu) * math.exp(-abs(y) * math.log1p(mu)),
        c="copysignf(log1pf(p * fabsf(x)) / log1pf(p), x)",
    ),
    "mulaw_expand": elementwise(
        torch=mulaw_expand,
        slope=lambda y, mu: torch.where(y.abs() < NEARLY * (mu + 2), math.log1p(mu) * (y.abs() + 1 / mu), 0),
        numba=lambda x, mu: math.copysign(math.expm1(min(abs(x), F(EXPAND_LIMIT)) * math.log1p(mu)) / mu, x),
        numba_slope=lambda y, mu: math.log1p(mu) * (abs(y) + F(1) / mu) if abs(y) < F(NEARLY) * (mu + F(2)) else F(0),
        c=f"copysignf(expm1f(fminf(fabsf(x), {EXPAND_LIMIT}f) * log1pf(p)) / p, x)",
        onnx={"aten::expm1": onnx_expm1},
    ),
}
