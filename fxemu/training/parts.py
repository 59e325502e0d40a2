"""Effect, closed loop, loss and schedule of a run, built from its config and checked before any audio is read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn

from fxemu.data.module import SongData
from fxemu.effects import Effect
from fxemu.errors import ConfigError
from fxemu.losses import evaluate_loss
from fxemu.models.closed_loop import ClosedLoop
from fxemu.training.knobs import turned
from fxemu.training.module import TrainingModule
from fxemu.training.schedule import Schedule

MOST_THREADS = 1024
# Not Apple's mps: it has no float64, which oscillators and long averages need, and a rollout is thousands of short
# operations, for which the compiled loops of the CPU are parts.
ACCELERATORS = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class Parts:
    """An effect, the loop that learns it, and the loss and schedule to train it by."""

    effect: Effect
    loop: ClosedLoop
    loss: nn.Module
    schedule: Schedule


def build_parts(config: DictConfig) -> Parts:
    """Check a config and make its parts, with first weights drawn by its seed.

    Raises:
        ConfigError: for an argument out of range, a class that is not fxemu's, or parts that do not fit.
    """
    # Lightning's loggers are checked where they are made.
    _only_ours({name: part for name, part in OmegaConf.to_container(config, resolve=True).items() if name != "logger"})
    _check_values(config)
    torch.manual_seed(config.seed)
    parts = _instantiated(config)
    _check_schedule(parts, config.data.segment)
    _check_loss(parts)
    return parts


def build(config: DictConfig, parts: Parts) -> tuple[SongData, TrainingModule]:
    """Make the data module and the training module from a config and its parts.

    Raises:
        ConfigError: for an argument of `data` that is out of range.
    """
    try:
        data = instantiate(config.data, effect=parts.effect, context=parts.loop.warm_up, seed=config.seed)
    except (InstantiationException, ValueError) as error:
        raise ConfigError(str(error.__cause__ or error)) from error
    return data, TrainingModule(parts.loop, parts.loss, parts.schedule, seed=config.seed)


def _check_values(config: DictConfig) -> None:
    """ConfigError if a value that is no argument of a part is out of range."""
    if config.data.library is None:
        raise ConfigError("data.library: got null; must be a folder of songs")
    _check_whole("seed", config.seed, 0, 2**32 - 1)
    for name in ("segment", "batch_size", "batches_per_epoch", "excerpts"):
        _check_whole(f"data.{name}", config.data[name], 1, 2**31 - 1)
    if config.data.file_count is not None:
        _check_whole("data.file_count", config.data.file_count, 3, 2**31 - 1)
    if config.patience is not None:
        _check_whole("patience", config.patience, 1, 2**31 - 1)
    if config.threads is not None:
        _check_whole("threads", config.threads, 1, MOST_THREADS)
    if not re.fullmatch(r"\d+(:\d+){3}", str(config.trainer.max_time or "0:0:0:0")):
        raise ConfigError(
            f"trainer.max_time: got {config.trainer.max_time!r}; must be days:hours:minutes:seconds, as 00:00:05:00"
        )
    if config.trainer.accelerator not in ACCELERATORS:
        raise ConfigError(
            f"trainer.accelerator: got {config.trainer.accelerator!r}; must be one of {', '.join(ACCELERATORS)}"
        )


def _instantiated(config: DictConfig) -> Parts:
    try:
        encoder, decoder = instantiate(config.repr.input), instantiate(config.repr.output)
        predictor = instantiate(config.model, channels=encoder.channels, params=decoder.params)
        effect = turned(config.effect, config.knobs) if config.get("knobs") else instantiate(config.effect)
        loop = ClosedLoop(predictor, encoder, decoder, effect.knobs)
        return Parts(effect, loop, instantiate(config.loss), instantiate(config.training))
    except (InstantiationException, ValueError) as error:
        raise ConfigError(str(error.__cause__ or error)) from error


def _check_schedule(parts: Parts, segment: int) -> None:
    """ConfigError if a stage needs longer segments, or a schedule without steps a fit in closed form."""
    if parts.schedule.longest() > segment:
        raise ConfigError(
            f"training asks for segments of {parts.schedule.longest()} predictions, data.segment is "
            f"{segment}: raise data.segment or shorten the stages"
        )
    if not parts.schedule.steps and not (parts.loop.plain_samples and parts.loop.predictor.closed_form):
        raise ConfigError(
            "training.steps: got 0, which leaves training to a fit in closed form; this model with this repr has none. "
            "Use training=free_running, or repr=raw with model=linear model.feedback=false, model=dynamics, "
            "model=oscillator or model=periodic_filter"
        )


def _check_whole(name: str, value: Any, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ConfigError(f"{name}: got {value!r}; must be a whole number from {least} to {most}")


def _check_loss(parts: Parts) -> None:
    """ConfigError if the loss cannot take a segment of some stage's length, or gives some parameter no gradient."""
    decoder, generator = parts.loop.output_repr, torch.Generator().manual_seed(0)
    for stage in parts.schedule.stages:
        params = torch.randn(1, decoder.params, stage.length, generator=generator).requires_grad_()
        target = torch.rand(1, 1, stage.length, generator=generator) - 0.5
        try:
            likelihood = decoder.native_loss(params, target)
            loss = evaluate_loss(parts.loss, decoder.decode(params), target, likelihood)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        (gradient,) = torch.autograd.grad(loss, params, allow_unused=True) if loss.requires_grad else (None,)
        if gradient is None or not gradient.any(-1).all():
            raise ConfigError(
                "loss: it gives no gradient to some of the representation's parameters, so they would never be "
                "learned. Use loss=likelihood, alone or in loss=combined, or repr.output.decoding=expected"
            )


def _only_ours(node: Any) -> None:
    """ConfigError if any `_target_` in the config names something outside fxemu."""
    if isinstance(node, DictConfig):
        node = OmegaConf.to_container(node, resolve=True)
    if isinstance(node, dict):
        target = node.get("_target_")
        if target is not None and not _is_ours(str(target)):
            raise ConfigError(f"_target_: got {target!r}; a config may name fxemu's own classes only")
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _only_ours(child)


def _is_ours(target: str) -> bool:
    """Whether a dotted name is of a class defined in fxemu, not of something that a module of ours has imported."""
    if not re.fullmatch(r"fxemu(\.\w+)+", target):
        return False
    try:
        kind = get_object(target)
    except (ImportError, ValueError):
        return True  # there is no such class: instantiating it fails with a better message
    return isinstance(kind, type) and kind.__module__.startswith("fxemu.")
