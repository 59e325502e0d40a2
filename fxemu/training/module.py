"""The LightningModule: training steps through the predictor's own output, validation by free run, logging."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Timer
from pytorch_optimizer import SOAP
from torch import Tensor, nn

from fxemu.data.shard import Shard
from fxemu.engine.lockstep.rollout import continue_rollout, rollout
from fxemu.errors import ConfigError, TrainingDivergedError
from fxemu.evaluation.validation import CLICK, SILENCE, WrongHistoryPiece, scores
from fxemu.library.pair import Pair
from fxemu.losses import evaluate_loss
from fxemu.models.closed_loop import ClosedLoop, wet_gain, wet_limit
from fxemu.training.callbacks import read_checkpoint
from fxemu.training.rest import bring_to_rest
from fxemu.training.schedule import Schedule, Stage

# Quieter settings of knobs than this share of the mean power count for less than others.
QUIET = 0.1
# Steps in a row without a finite gradient before training ends.
UNUSABLE = 100
# Most of the training time that validations take, as a share, and what they may take in any case, in s.
VALIDATION_SHARE, VALIDATION_S = 0.1, 5.0
# The share of the training after which it is logged again how far it has come.
SHOWN_SHARE = 0.01


class TrainingModule(pl.LightningModule):
    """Trains a closed loop by a schedule; monitors its selection score (`val/esr`, see `validation.scores`).

    Several processes may train it together (DDP): each takes its shard of every batch, gradients are averaged.

    Args:
        loop: the predictor between its representations.
        loss: see `losses.evaluate_loss`.
        schedule: stages, steps and learning rate.
        seed: of the noise on the true history.
    """

    def __init__(self, loop: ClosedLoop, loss: nn.Module, schedule: Schedule, seed: int = 0) -> None:
        super().__init__()
        # A segment may take several optimizer steps.
        self.automatic_optimization = False
        self.loop, self.loss, self.schedule, self.seed = loop, loss, schedule, seed
        self.unusable = 0
        # The effect's outputs for silence and for a click.
        self.settled = [SILENCE, SILENCE]
        # Pieces of the validation songs to begin from wrong pasts, made when they are first needed.
        self.wrong: list[WrongHistoryPiece] | None = None
        # Whether the weights come from an earlier training, so that they are not fitted anew.
        self.trained = False
        # Weights as they were trained, by name, where a validation has put others in their place (see `bring_to_rest`).
        self.replaced: dict[str, Tensor] = {}
        # Figures of the last step, by the name that they are logged under.
        self.logged: dict[str, Tensor | float] = {}
        # Seconds that all validations took, that the last one took, and when training began.
        self.validating_s = self.validation_s = 0.0
        self.began = time.perf_counter()
        self.validates = 1.0
        self.shown_progress = 0.0

    def setup(self, stage: str) -> None:
        data = self.trainer.datamodule
        self.loop.limit.fill_(wet_limit(data.wet_peak()))
        songs = [(song.dry, song.wet) for song in data.parts["train"]]
        gain = wet_gain(max((float(wet.abs().max()) for _, wet in songs), default=0.0))
        if not self.trained:
            self.loop.gain.fill_(gain)
        if self.wrong is None:
            self.settled = data.effect_outputs((SILENCE, CLICK))
        if not self.trained:
            turned = self.loop.knobs and self.loop.predictor.conditioning
            fitted = data.pairs_to_fit() if turned else data.parts["train"]
            self.loop.fit([(song.dry, song.wet) for song in fitted], [song.knobs for song in fitted])

    def start_from(self, checkpoint: Path) -> None:
        """Start from the weights of an earlier training."""
        self.load_state_dict(read_checkpoint(checkpoint)["state_dict"])
        self.trained = True

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Beside the model that was validated, keep the weights that training goes on from."""
        checkpoint["replaced"] = self.replaced

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the weights that training goes on from; raise a ConfigError for those of another model."""
        checkpoint["state_dict"].update(checkpoint.get("replaced", {}))
        try:
            self.load_state_dict(checkpoint["state_dict"])
        except RuntimeError as error:
            # PyTorch's second line names the first difference.
            reason = str(error).split("\n")[1].strip()
            raise ConfigError(f"the checkpoint is of another model than in config.yaml: {reason[:300]}") from error

    def on_train_start(self) -> None:
        self.began, self.validates = time.perf_counter(), self.trainer.limit_val_batches

    def on_train_batch_start(self, batch: object, batch_index: int) -> None:
        """Go on from the weights as they were trained, so that nothing depends on when there was a validation."""
        for name, trained in self.replaced.items():
            self.get_parameter(name).data.copy_(trained)
        self.replaced = {}

    def progress(self) -> float:
        """Share of the training that is done, 0 to 1: by steps or by time, whichever is further."""
        by_steps = self.global_step / max(1, self.schedule.steps)
        timers = [c for c in self.trainer.callbacks if isinstance(c, Timer) and c.time_remaining() is not None]
        spent = [t.time_elapsed() / max(1e-9, t.time_elapsed() + t.time_remaining()) for t in timers]
        return min(1.0, max([by_steps, *spent]))

    def _agreed_progress(self) -> float:
        """The same in all processes, whose clocks differ: the furthest."""
        progress = torch.tensor(self.progress(), device=self.device)
        return float(self.trainer.strategy.reduce(progress, reduce_op="max"))

    def training_step(self, batch: tuple[Tensor, ...], batch_index: int) -> None:
        """One optimizer step, or one for each chunk of the stage."""
        stage = self.schedule.stage(self._agreed_progress())
        dry, wet = (x[..., : self.loop.warm_up + 1 + stage.samples] for x in batch[:2])
        knobs, scale = batch[2][..., : dry.shape[-1]] if self.loop.knobs else None, self._scale(batch)
        if not stage.free:
            history = self._without_history(self._noisy(wet, stage), stage)
            self._learn(stage, scale, *self.loop.teacher_forced(dry, history, knobs), wet)
            return
        history = self._noisy(wet[..., : -stage.samples], stage)
        run, end = None, history.shape[-1]
        if stage.lead:
            end += stage.lead
            with torch.no_grad():
                run = rollout(self.loop, dry[..., :end], history, _part(knobs, 0, end))
        for _ in range(stage.chunks):
            start, end = end, end + stage.length
            if run is None:
                run = rollout(self.loop, dry[..., :end], history, _part(knobs, 0, end))
            else:
                first = start - history.shape[-1]
                seen = dry[..., first:end], run.past, stage.length, _part(knobs, first, end)
                run = continue_rollout(self.loop, *seen)
            self._learn(stage, scale, run.prediction, run.params, wet[..., start:end])
            if self._agreed_progress() >= 1:
                # A slow predictor may need minutes for all chunks.
                break

    def on_train_batch_end(self, outputs: object, batch: object, batch_index: int) -> None:
        """Log what is about to be written, or shown after the epoch: logging every batch took a fifth of training.

        At the end of an epoch, have it validated if there is time for it, and in any case at the end of training.
        """
        writing = self.trainer._logger_connector.should_update_logs
        ends = self.trainer.should_stop or batch_index + 1 == self.trainer.num_training_batches
        if writing or ends:
            # Numbered by steps, not by epochs.
            self.log_dict({**self.logged, **self._stage_figures(), "step": float(self.global_step)})
        if ends:
            self.trainer.limit_val_batches = self.validates if self._validation_due() else 0.0

    def _stage_figures(self) -> dict[str, float]:
        """The share that is done, and the bounds of its stage; none until it has grown by SHOWN_SHARE.

        TensorBoard passes over a band where most points lie elsewhere, such as in a stage of quick steps.
        """
        progress = self.progress()
        if progress - self.shown_progress < SHOWN_SHARE:
            return {}
        self.shown_progress = progress
        begins, ends = self.schedule.bounds(progress)
        return {"train/progress": progress, "train/stage_begins": begins, "train/stage_ends": ends}

    def _validation_due(self) -> bool:
        """Whether another validation fits in the share of the time that they may take, as the first process finds."""
        affordable = max(VALIDATION_S, VALIDATION_SHARE * (time.perf_counter() - self.began))
        due = self.trainer.should_stop or self.validating_s + self.validation_s <= affordable
        return self.trainer.strategy.broadcast(due)

    def _scale(self, batch: tuple[Tensor, ...]) -> Tensor:
        """The divisor of wet in the loss: its gain and, with knobs, more where the setting is louder."""
        if not self.loop.knobs:
            return self.loop.gain
        level = batch[3] + QUIET * batch[3].mean() + torch.finfo(torch.float32).tiny
        return self.loop.gain * (level / level.mean()).sqrt()

    def _learn(self, stage: Stage, scale: Tensor, prediction: Tensor, params: Tensor, wet: Tensor) -> None:
        """An optimizer step on the last `stage.length` predictions."""
        prediction, params, target = (x[..., -stage.length :] for x in (prediction, params, wet))
        likelihood = self.loop.native_loss(params, target)
        loss = evaluate_loss(self.loss, prediction / scale, target / scale, likelihood)
        # Of the whole batch, so that all processes end together.
        mean = self.trainer.strategy.reduce(loss.detach().clone(), reduce_op="mean")
        if not torch.isfinite(mean):
            raise self._diverged(f"the loss is {float(mean)}")
        self.logged["train/loss"] = mean
        self.logged["train/rollout"] = float(stage.length if stage.free else 0)
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(loss)
        norm = nn.utils.clip_grad_norm_(self.loop.parameters(), self.schedule.clip)
        self.logged["train/gradient_norm"] = norm
        # A loop that amplifies can give a gradient beyond float32: then this batch teaches nothing.
        self.unusable = 0 if torch.isfinite(norm) else self.unusable + 1
        if self.unusable > UNUSABLE:
            raise self._diverged(f"the gradient has not been finite for {UNUSABLE} steps")
        if not self.unusable:
            optimizer.step()

    def _diverged(self, what: str) -> TrainingDivergedError:
        return TrainingDivergedError(
            f"{what} at step {self.global_step}. Try a lower training.learning_rate (now {self.schedule.peak:g}), "
            "a lower training.clip, or shorter stages, in another folder; what was best until then is kept"
        )

    def _generator(self, use: int) -> torch.Generator:
        """Random numbers for one use in one step, the same for the same seed."""
        return torch.Generator().manual_seed((self.seed * 3 + use) * 1_000_003 + self.global_step)

    def _drawn(self, draw: Callable[..., Tensor], shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """This process's rows of random numbers that are drawn for the whole batch, however it is divided."""
        shard = Shard(self.trainer.global_rank, self.trainer.world_size)
        batch = shape[0] * shard.count
        return draw((batch, *shape[1:]), generator=generator)[shard.rows(batch)]

    def _noisy(self, wet: Tensor, stage: Stage) -> Tensor:
        """Wet samples with noise on their features, the same for the same seed and step."""
        if stage.noise == 0:
            return wet
        generator = self._generator(0)
        shape = (wet.shape[0], 1, 1)
        level = stage.noise * torch.exp(-math.log(300) * self._drawn(torch.rand, shape, generator))
        level = level * (self._drawn(torch.rand, shape, generator) > 0.25)
        noise = level * self._drawn(torch.randn, tuple(wet.shape), generator)
        disturbed = self.loop.disturb(wet, noise.to(wet.device))
        # Nothing louder is ever fed back.
        return disturbed.clamp(-self.loop.limit, self.loop.limit)

    def _without_history(self, wet: Tensor, stage: Stage) -> Tensor:
        """Silence in place of the wet samples in a share of the segments."""
        dropped = self._drawn(torch.rand, (wet.shape[0], 1, 1), self._generator(1)) < stage.drop_history
        return wet.masked_fill(dropped.to(wet.device), 0.0)

    def validation_step(self, songs: list[Pair], batch_index: int) -> None:
        """Free runs over the validation songs, from silence and from wrong pasts, in one process for all."""
        began = time.perf_counter()
        found = None
        if self.trainer.is_global_zero:
            if self.wrong is None:
                self.wrong = self.trainer.datamodule.wrong_history_pieces(float(self.loop.limit))
            if self.trainer.datamodule.effect.replayable and not self.replaced:
                at_rest = bring_to_rest(self.loop, self.settled[0])
                self.replaced = {f"loop.{name}": trained for name, trained in at_rest.items()}
            found = scores(self.loop, songs, self.settled, self.wrong)
        found = {**self.trainer.strategy.broadcast(found), "step": float(self.global_step)}
        self.log_dict(found, batch_size=1, sync_dist=True)
        self.validation_s = time.perf_counter() - began
        self.validating_s += self.validation_s

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """SOAP (Vyas et al. 2024): Adam in the eigenbasis of Shampoo's preconditioner.

        Music makes the first layer's inputs so alike that plain Adam needs several times as long.
        """
        return SOAP(self.loop.parameters(), lr=self.schedule.peak, betas=(0.95, 0.95), weight_decay=0.0)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        rate = self.schedule.learning_rate(self.global_step, self._agreed_progress())
        for group in optimizer.param_groups:
            group["lr"] = rate
        self.logged["train/learning_rate"] = rate


def _part(knobs: Tensor | None, start: int, end: int) -> Tensor | None:
    """Positions (B, K, T) of some samples; of knobs that stand still, (B, K, 1), those of all."""
    return knobs if knobs is None or knobs.shape[-1] == 1 else knobs[..., start:end]
