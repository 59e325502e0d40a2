"""Effect, closed loop, loss and schedule of a run, built from its config and checked before any audio is read."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import nn

from fxemu.data.module import SongData
from fxemu.effects import Effect
from fxemu.errors import ConfigError
from fxemu.losses import evaluate_loss
from fxemu.models.closed_loop import ClosedLoop
from fxemu.training.checks import check_config
from fxemu.training.knobs import turned
from fxemu.training.module import TrainingModule
from fxemu.training.schedule import Schedule


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
    check_config(config)
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


def _instantiated(config: DictConfig) -> Parts:
    try:
        encoder, decoder = instantiate(config.repr.input), instantiate(config.repr.output)
        predictor = instantiate(config.model, channels=encoder.channels, params=decoder.params)
        effect = turned(config.effect, config.knobs) if config.get("knobs") else instantiate(config.effect)
        loop = ClosedLoop(predictor, encoder, decoder, effect.knobs, config.conditioning)
        return Parts(effect, loop, instantiate(config.loss), instantiate(config.training))
    except (InstantiationException, ValueError) as error:
        message = str(error.__cause__ or error)
        if "allocate memory" in message:
            message = "model: not enough memory for one of this size; make it smaller"
        raise ConfigError(message) from error


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
