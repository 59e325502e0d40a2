"""A model as a TorchScript file, which PyTorch and LibTorch load without fxemu."""

# No `from __future__ import annotations`: TorchScript reads the types of `_Player` as they are.
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from fxemu.engine.step import PlanStep
from fxemu.runtimes.base import Format, Model, compared

BLOCK = 100


class TorchScript(Format):
    """A TorchScript file: `model(dry)` plays the next block of samples, `model.reset()` starts from silence."""

    suffix = ".pt"

    def write(self, model: Model, path: Path) -> None:
        step = PlanStep(model.loop).eval()
        with warnings.catch_warnings():
            # PyTorch asks for torch.export instead, whose files cannot hold the loop over the samples.
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(_Listed(step), (torch.zeros(1), step.start), check_trace=False)
            player = torch.jit.script(_Player(traced, step.start, model.sample_rate))
            torch.jit.save(player, str(path), _extra_files=dict(model.files))

    def check(self, model: Model, path: Path) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            player = torch.jit.load(str(path))
        dry, wet = model.reference_pair()
        with torch.no_grad():
            played = torch.cat([player(dry[i : i + BLOCK]) for i in range(0, dry.numel(), BLOCK)])
        return compared(model, played, wet, "TorchScript")


class _Listed(nn.Module):
    """A step whose states come and go as a list."""

    def __init__(self, step: PlanStep) -> None:
        super().__init__()
        self.step = step

    def forward(self, dry: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        wet, *following = self.step(dry, *state)
        return wet, following


class _Player(nn.Module):
    """The loop over the samples of a block; NaN and infinity count as 0, a state that is not finite starts again."""

    start: list[Tensor]
    state: list[Tensor]

    def __init__(self, step: torch.jit.ScriptModule, start: list[Tensor], sample_rate: int) -> None:
        super().__init__()
        self.step, self.start, self.state, self.sample_rate = step, start, start, sample_rate

    @torch.jit.export
    def reset(self) -> None:
        self.state = self.start

    def forward(self, dry: Tensor) -> Tensor:
        dry = torch.nan_to_num(dry, 0.0, 0.0, 0.0)
        wet = torch.empty_like(dry)
        state = self.state
        for t in range(dry.numel()):
            sample, state = self.step(dry[t : t + 1], state)
            wet[t : t + 1] = sample
        # Once a block: a check of every sample would take its time.
        for part in state:
            if not bool(torch.isfinite(part).all()):
                state = self.start
        self.state = state
        return torch.nan_to_num(wet, 0.0, 0.0, 0.0)
