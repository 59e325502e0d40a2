"""A model as a TorchScript file, which PyTorch and LibTorch load without fxemu."""

# No `from __future__ import annotations`: TorchScript reads the types of `_Player` as they are.
import io
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from fxemu.engine.step import PlanStep
from fxemu.runtimes.base import TURNED_AT, Format, Model, compared
from fxemu.runtimes.conditioned_step import ConditionedStep

BLOCK = 100


class TorchScript(Format):
    """A TorchScript file: `model(dry)` plays the next block of samples, `model.reset()` returns to rest.

    One with knobs is played by `model(dry, knobs)`, their values (K,) in the order of `model.knob_names`.
    """

    suffix = ".pt"
    turnable = True

    def write(self, model: Model, path: Path) -> None:
        step, values = PlanStep(model.loop, model.default_positions).eval(), torch.zeros(0)
        if model.loop.knobs:
            step = ConditionedStep(step, model.loop.knobs, model.sample_rate).eval()
            values = step.default
        with warnings.catch_warnings():
            # PyTorch asks for torch.export instead, whose files cannot hold the loop over the samples.
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(_Listed(step), (torch.zeros(1), values, step.start), check_trace=False)
            player = torch.jit.script(_Player(traced, step.start, model, values))
            # Into memory first: PyTorch's own writer ends the process where the disk is full.
            content = io.BytesIO()
            torch.jit.save(player, content, _extra_files=dict(model.files))
            path.write_bytes(content.getvalue())

    def check(self, model: Model, path: Path) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            player = torch.jit.load(str(path))
        dry, wet = model.reference_pair()
        with torch.no_grad():
            played = torch.cat([player(dry[i : i + BLOCK], _knobs(model, i)) for i in range(0, dry.numel(), BLOCK)])
        return compared(model, played, wet, "TorchScript")


def _knobs(model: Model, sample: int) -> Tensor | None:
    settings = model.default_settings if sample < TURNED_AT else model.turned_settings
    return torch.tensor(list(settings.values())) if settings else None


class _Listed(nn.Module):
    """A step whose states come and go as a list, and that always takes values of knobs, none for a model without."""

    def __init__(self, step: nn.Module) -> None:
        super().__init__()
        self.step = step

    def forward(self, dry: Tensor, knobs: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        wet, *following = self.step(dry, knobs, *state) if knobs.numel() else self.step(dry, *state)
        return wet, following


class _Player(nn.Module):
    """The loop over the samples of a block; NaN and infinity count as 0, a state that is not finite starts again."""

    start: list[Tensor]
    state: list[Tensor]

    def __init__(self, step: torch.jit.ScriptModule, start: list[Tensor], model: Model, knobs: Tensor) -> None:
        super().__init__()
        self.step, self.start, self.state, self.sample_rate = step, start, start, model.sample_rate
        self.knobs, self.knob_names = knobs, [knob.name for knob in model.loop.knobs]

    @torch.jit.export
    def reset(self) -> None:
        self.state = self.start

    def forward(self, dry: Tensor, knobs: Tensor | None = None) -> Tensor:
        if knobs is not None:
            self.knobs = knobs
        dry = torch.nan_to_num(dry, 0.0, 0.0, 0.0)
        wet = torch.empty_like(dry)
        state = self.state
        for t in range(dry.numel()):
            sample, state = self.step(dry[t : t + 1], self.knobs, state)
            wet[t : t + 1] = sample
        # Once a block: a check of every sample would take its time.
        for part in state:
            if not bool(torch.isfinite(part).all()):
                state = self.start
        self.state = state
        return torch.nan_to_num(wet, 0.0, 0.0, 0.0)
