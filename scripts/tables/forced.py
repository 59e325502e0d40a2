"""Times teacher-forced training against the machine's matrix products (10 seconds)."""

from __future__ import annotations

import argparse

import torch
from pytorch_optimizer import SOAP
from torch import nn

from fxemu.models import MLP
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import Raw
from tables.common import fastest, one_thread

# In a row: the optimizer has more to do in every tenth.
STEPS = 10


def run(options: argparse.Namespace) -> None:
    """Print the rate of teacher-forced training against the machine's matrix products, at width 128."""
    one_thread()
    a, b = torch.randn(2, 1024, 1024)
    (product,) = fastest(lambda: a @ b)
    peak = 2 * 1024**3 / product / 1e9
    model = MLP(1, 1, context_window=256, feedback_window=32, width=128)
    loop = ClosedLoop(model, Raw(), Raw())
    optimizer = SOAP(model.parameters(), lr=1e-3, betas=(0.95, 0.95), weight_decay=0.0)
    dry, wet = 0.3 * torch.randn(2, 64, 1, 255 + 256)

    def steps() -> None:
        for _ in range(STEPS):
            optimizer.zero_grad()
            loop.teacher_forced(dry, wet)[0].square().mean().backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

    steps()
    seconds = fastest(steps)[0] / STEPS
    # Forward, and backward to the weights; to the inputs only beyond the first layer.
    macs = 64 * 256 * (2 * (128 * (256 + 32)) + 3 * (128 * 128 + 128))
    print(
        f"matrix product: {peak:.0f} GFLOP/s; teacher-forced step at width 128: {2 * macs / seconds / 1e9:.0f} GFLOP/s"
    )
    print(f"ratio: {2 * macs / seconds / 1e9 / peak:.2f}")
