"""First-order linear recurrences over whole stretches: z[t] = pole z[t-1] + x[t], with complex poles."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Samples that one matrix product adds up; the ends of these chunks are a recurrence again, so many times as short.
CHUNK = 32


def scan(x: Tensor, pole: Tensor) -> Tensor:
    """z (N, B, T) from x (N, B, T) and the poles (N,), all complex, the poles not 0; z is 0 before the first sample."""
    # In double precision: of a pole near 1 a high power is wanted.
    return _summed(x, pole.cdouble().log())


def _summed(x: Tensor, log_pole: Tensor) -> Tensor:
    samples = x.shape[-1]
    ages = torch.arange(CHUNK, device=x.device)
    # What sample j of a chunk has left of sample i: (N, i, j).
    left = (log_pole[:, None, None] * (ages - ages[:, None]).clamp_min(0)).exp().triu().to(x.dtype)
    chunks = F.pad(x, (0, -samples % CHUNK)).reshape(x.shape[0], -1, CHUNK)
    z = (chunks @ left).view(*x.shape[:2], -1, CHUNK)
    if samples > CHUNK:
        ends = _summed(z[..., :-1, -1], CHUNK * log_pole)
        fading = (log_pole[:, None] * (ages + 1)).exp().to(x.dtype)
        z = z + F.pad(ends, (1, 0))[..., None] * fading[:, None, None]
    return z.flatten(-2)[..., :samples]
