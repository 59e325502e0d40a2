"""Times rollout training against a plain PyTorch loop (1 minute)."""

from __future__ import annotations

import argparse

import torch

from fxemu.engine.lockstep.rollout import rollout
from fxemu.models import MLP
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import Raw
from tables.common import fastest, one_thread


def run(options: argparse.Namespace) -> None:
    """Print the rate of rollout training against a plain PyTorch loop, one thread, denormals flushed."""
    one_thread()
    torch.manual_seed(0)
    model = MLP(1, 1, context_window=256, feedback_window=32, width=48)
    loop = ClosedLoop(model, Raw(), Raw())
    print("| batch | K | fxemu, samples/s | plain loop | ratio | gradients differ by |\n|---|---|---|---|---|---|")
    for batch, steps in ((256, 256), (64, 64), (64, 256), (256, 64)):
        history, dry = 0.3 * torch.randn(batch, 1, 255), 0.3 * torch.randn(batch, 1, 255 + steps)
        gradients = []

        def ours() -> None:
            _learn(model, rollout(loop, dry, history).prediction, gradients)  # noqa: B023

        def plain() -> None:
            _learn(model, _plain_loop(model, dry, history), gradients)  # noqa: B023

        ours()
        plain()
        error = float((gradients[0] - gradients[1]).norm() / gradients[1].norm())
        a, b = fastest(ours, plain, times=3)
        rates = batch * steps / a, batch * steps / b
        print(f"| {batch} | {steps} | {rates[0]:,.0f} | {rates[1]:,.0f} | {b / a:.1f} | {error:.0e} |")


def _learn(model: MLP, prediction: torch.Tensor, gradients: list[torch.Tensor]) -> None:
    model.zero_grad()
    prediction.square().mean().backward()
    gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))


def _plain_loop(model: MLP, dry: torch.Tensor, history: torch.Tensor) -> torch.Tensor:
    """A free run as one would write it: the dry window for all samples at once, the rest step by step."""
    driven, skip = model.dry(dry), model.skip(dry)
    fed_back, wet, predicted = model.wet.weight[:, 0].T, history[:, 0, -32:], []
    w2, w3 = model.hidden[0].weight[..., 0].T, model.out.weight[..., 0].T
    for t in range(driven.shape[-1] - (history.shape[-1] - 255)):
        h = torch.tanh(driven[..., t] + wet @ fed_back)
        h = torch.tanh(h @ w2 + model.hidden[0].bias)
        y = (h @ w3 + model.out.bias + skip[..., 255 + t]).clamp(-1.2, 1.2)
        wet = torch.cat((wet[:, 1:], y), dim=1)
        predicted.append(y)
    return torch.stack(predicted, dim=-1)
