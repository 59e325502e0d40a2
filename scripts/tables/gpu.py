"""Times rollout training on a GPU against one core, and trains there for 5 minutes (7 minutes; needs CUDA)."""

from __future__ import annotations

import argparse

import torch

from fxemu.engine.lockstep.rollout import rollout
from fxemu.models import MLP
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import Raw
from tables.common import fastest, one_thread, train

STEPS = 256
ROW = ["model=mlp", "effect=distortion", "loss=esr", "data.batch_size=8192", "training.steps=1000000"]


def run(options: argparse.Namespace) -> None:
    """Print samples a second through rollouts with their gradient on one core and on the GPU, and an ESR from there."""
    if not torch.cuda.is_available():
        raise SystemExit("gpu: no CUDA device here")
    one_thread()
    core = _rate("cpu", 256)
    print(f"one core, batch 256: {core:,.0f} samples/s")
    for batch in (256, 1024, 8192):
        rate = _rate("cuda", batch)
        print(f"{torch.cuda.get_device_name()}, batch {batch}: {rate:,.0f} samples/s, {rate / core:.0f} times one core")
    result = train([*ROW, f"seed={options.seed}", "trainer.accelerator=cuda"], options.threads)
    print(f"distortion after {result['train_seconds']:.0f} s there: ESR {result['test']['esr']:.1e}")


def _rate(device: str, batch: int) -> float:
    """Samples a second of rollouts, 256 dry and 32 wet samples, 2 x 48 units, forward and backward."""
    torch.manual_seed(0)
    model = MLP(1, 1, context_window=256, feedback_window=32, width=48)
    loop = ClosedLoop(model, Raw(), Raw()).to(device)
    history, dry = (0.3 * torch.randn(batch, 1, samples, device=device) for samples in (255, 255 + STEPS))

    def step() -> None:
        model.zero_grad()
        rollout(loop, dry, history).prediction.square().mean().backward()
        model.out.bias.grad.sum().item()  # waits for the device

    step()
    return batch * STEPS / fastest(step, times=3)[0]
