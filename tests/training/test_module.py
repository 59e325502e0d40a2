"""The training step's own arithmetic: whose history the next chunk hears, and which batches teach nothing."""

from collections.abc import Callable
from typing import ClassVar

import pytest
import pytorch_lightning as pl
import torch
from helpers.models import MODELS, make, one_pole
from pytorch_lightning.loggers.logger import Logger
from torch import Tensor, nn
from torch.utils.data import DataLoader

from fxemu.engine.lockstep.rollout import rollout
from fxemu.evaluation.validation import ECHO, SETTLING, scores
from fxemu.library.pair import Pair
from fxemu.losses import ESR
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import Raw
from fxemu.training.module import TrainingDivergedError, TrainingModule
from fxemu.training.schedule import Schedule, Stage


@pytest.mark.parametrize("dropped", [0.0, 0.5, 1.0])
def test_a_share_of_the_segments_hears_silence_in_teacher_forcing(
    make_loop: Callable[..., ClosedLoop], dropped: float
) -> None:
    emulator = TrainingModule(make_loop(), ESR(), Schedule([{"share": 1, "length": 4, "free": False}]))
    emulator.trainer = pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    heard = emulator._without_history(
        torch.ones(1000, 1, 6), Stage(share=1, length=4, free=False, drop_history=dropped)
    )
    silent, whole = (heard == 0).all(-1).flatten(), (heard == 1).all(-1).flatten()
    assert (silent | whole).all()
    assert float(silent.float().mean()) == pytest.approx(dropped, abs=0.05)


@pytest.mark.parametrize(("dropped", "learned"), [(0.0, True), (1.0, False)])
def test_who_hears_only_silence_does_not_learn_to_listen(dropped: float, learned: bool) -> None:
    loop = one_pole(0.5)
    fit(TrainingModule(loop, ESR(), Schedule([{"share": 1, "length": 16, "free": False, "drop_history": dropped}])), 20)
    assert (loop.predictor.wet.weight.item() != 0.5) == learned
    assert loop.predictor.dry.weight.item() != pytest.approx(0.1, abs=1e-3)


class Cliff(nn.Module):
    """A loss of 0 whose gradient is infinite on some calls, and plain squared error on the others."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every, self.calls = every, 0

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        self.calls += 1
        if self.calls % self.every == 0:
            return (prediction - prediction.detach()).sum().sqrt()
        return (prediction - target).square().mean()


class Noise(pl.LightningDataModule):
    """Batches of noise, as dry and as wet, `level` of it."""

    parts: ClassVar[dict] = {"train": []}

    def __init__(self, level: float = 1.0) -> None:
        super().__init__()
        self.level = level

    def wet_peak(self) -> float:
        return 1.0

    def effect_outputs(self, probes: tuple[Tensor, ...]) -> list[Tensor]:
        return [torch.zeros_like(probe) for probe in probes]

    def train_dataloader(self) -> DataLoader:
        noise = self.level * torch.randn(400, 2, 8, 1, 40, generator=torch.Generator().manual_seed(0))
        return DataLoader([tuple(batch) for batch in noise], batch_size=None)


def fit(emulator: TrainingModule, steps: int, level: float = 1.0, data: pl.LightningDataModule | None = None) -> None:
    trainer = pl.Trainer(
        max_steps=steps, logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu",
        enable_model_summary=False, limit_val_batches=0,
    )  # fmt: skip
    trainer.fit(emulator, datamodule=data or Noise(level))


class Bent(Noise):
    """Batches of noise, bent, filtered, and multiplied by a sine, at a level that is a power of two."""

    def __init__(self, level: float) -> None:
        super().__init__(level)
        dry = torch.randn(30_000, generator=torch.Generator().manual_seed(0)) / 4
        sine = torch.sin(torch.arange(30_000) * (2 * torch.pi / 3000))
        self.parts = {"train": [Pair("noise", dry, level * sine * torch.tanh(2 * dry + dry.roll(1)))]}

    def wet_peak(self) -> float:
        return float(self.parts["train"][0].wet.abs().max())

    def train_dataloader(self) -> DataLoader:
        dry, wet = (getattr(self.parts["train"][0], side).view(-1, 10, 1, 100) for side in ("dry", "wet"))
        return DataLoader(list(zip(dry, wet, strict=True)), batch_size=None)


# But for dynamics, whose fit takes seconds.
@pytest.mark.parametrize("family", sorted(MODELS.keys() - {"dynamics"}))
def test_the_level_of_wet_changes_nothing_but_the_level(family: str) -> None:
    learned = []
    for level in (1.0, 2.0**-10, 8.0):
        stages = [{"share": 0.5, "length": 16, "free": False, "noise": 0.1}, {"share": 0.5, "length": 32, "free": True}]
        loop = ClosedLoop(make(family), Raw(), Raw())
        fit(TrainingModule(loop, ESR(), Schedule(stages, steps=6)), 6, data=Bent(level))
        assert loop.gain == level and 1.9 * level < loop.limit < 2.1 * level  # of louder songs nothing is cut
        learned.append(torch.cat([p.detach().flatten() for p in loop.predictor.parameters()]))
    assert torch.allclose(learned[0], learned[1], atol=1e-5) and torch.allclose(learned[0], learned[2], atol=1e-5)


def test_a_batch_without_a_finite_gradient_does_no_harm(make_loop: Callable[..., ClosedLoop]) -> None:
    emulator = TrainingModule(make_loop(), Cliff(3), Schedule([{"share": 1, "length": 4, "free": True}]))
    before = [p.clone() for p in emulator.loop.parameters()]
    fit(emulator, 20)
    assert emulator.loss.calls > 20
    assert all(torch.isfinite(p).all() for p in emulator.loop.parameters())
    assert any(not torch.equal(p, q) for p, q in zip(before, emulator.loop.parameters(), strict=True))


def test_training_ends_when_no_gradient_is_finite_and_has_changed_nothing(
    make_loop: Callable[..., ClosedLoop],
) -> None:
    emulator = TrainingModule(make_loop(), Cliff(1), Schedule([{"share": 1, "length": 4, "free": True}]))
    before = [p.clone() for p in emulator.loop.parameters()]
    with pytest.raises(TrainingDivergedError, match="gradient has not been finite for 100 steps at step 0"):
        fit(emulator, 20)
    assert all(torch.equal(p, q) for p, q in zip(before, emulator.loop.parameters(), strict=True))


@pytest.mark.parametrize(("noise", "learned"), [(0.0, False), (0.1, True)])
def test_a_loop_that_swings_by_itself_is_mended_by_noise_before_its_rollouts(noise: float, learned: bool) -> None:
    """In silence a loop that amplifies has nothing to amplify, unless its history is disturbed."""
    loop = one_pole(1.02)
    fit(TrainingModule(loop, ESR(), Schedule([{"share": 1, "length": 16, "free": True, "noise": noise}])), 100, level=0)
    assert (loop.predictor.wet.weight.item() < 0.99) == learned


class Rows(Logger):
    """Keeps what it is told."""

    name, version = "rows", "0"

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int, float]] = []

    def log_hyperparams(self, *_: object) -> None:
        pass

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        if "train/loss" in metrics:
            self.rows.append((step, metrics["train/loss"]))


class Counting(nn.Module):
    """A loss that says which batch it is of."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        self.calls += 1
        return 0 * prediction.sum() + self.calls


@pytest.mark.parametrize("stop", [37, 60])
def test_what_is_logged_is_of_the_batch_that_it_is_logged_for(make_loop: Callable[..., ClosedLoop], stop: int) -> None:
    schedule, rows = Schedule([{"share": 1, "length": 4, "free": True}], 100), Rows()
    emulator = TrainingModule(make_loop(), Counting(), schedule)

    class Stop(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
            trainer.should_stop = trainer.global_step == stop

    trainer = pl.Trainer(
        max_steps=100, logger=rows, callbacks=[Stop()], enable_checkpointing=False, enable_progress_bar=False,
        accelerator="cpu", enable_model_summary=False, limit_val_batches=0, limit_train_batches=20, log_every_n_steps=8,
    )  # fmt: skip
    trainer.fit(emulator, datamodule=Noise())
    assert [step for step, _ in rows.rows] == sorted({*range(8, stop, 8), stop})
    assert all(loss == step for step, loss in rows.rows)


def test_a_net_that_does_not_come_to_rest_is_not_selected() -> None:
    """Both are silent where the songs are; of a click one keeps hold."""
    songs = [Pair("a", torch.zeros(SETTLING), torch.full((SETTLING,), 0.1))]
    found = []
    for pole in (0.5, 1.0):
        emulator = TrainingModule(one_pole(pole), ESR(), Schedule([{"share": 1, "length": 4, "free": True}]))
        found.append(scores(emulator.loop, songs, emulator.settled)["val/esr"])
    assert found == pytest.approx([1.0, 2.0], abs=2e-3)


@pytest.mark.parametrize(
    ("rest", "clicked", "expected"), [(0.1, 0.1, 0.0), (0.0, 0.1, 1.0), (0.1, 0.0, 1.0), (0.2, 0.3, 0.0)]
)
def test_a_net_is_selected_where_it_leaves_no_more_than_the_effect_does(
    rest: float, clicked: float, expected: float
) -> None:
    songs = [Pair("a", torch.zeros(SETTLING), torch.full((SETTLING,), 0.1))]
    emulator = TrainingModule(one_pole(0.5), ESR(), Schedule([{"share": 1, "length": 4, "free": True}]))
    with torch.no_grad():
        # At rest at 0.1, as the songs are.
        emulator.loop.predictor.dry.bias.fill_(0.05)
    emulator.settled = [torch.full((SETTLING,), rest), torch.full((SETTLING,), clicked)]
    assert scores(emulator.loop, songs, emulator.settled)["val/esr"] == pytest.approx(expected, abs=2 * ECHO)


def test_an_echo_of_the_click_is_not_held_against_a_net() -> None:
    songs = [Pair("a", torch.zeros(SETTLING), torch.full((SETTLING,), 0.1))]
    emulator = TrainingModule(one_pole(0.9998), ESR(), Schedule([{"share": 1, "length": 4, "free": True}]))
    assert scores(emulator.loop, songs, emulator.settled)["val/esr"] == pytest.approx(1.0, abs=1e-6)


def test_validations_take_their_share_of_the_time_and_no_more(make_loop: Callable[..., ClosedLoop]) -> None:
    emulator = TrainingModule(make_loop(), ESR(), Schedule([{"share": 1, "length": 4, "free": True}]))
    emulator.trainer = pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    emulator.began -= 1000
    emulator.validating_s, emulator.validation_s = 70.0, 20.0
    assert emulator._validation_due()
    emulator.validating_s = 90.0
    assert not emulator._validation_due()
    emulator.trainer.should_stop = True
    assert emulator._validation_due()


def test_chunks_follow_each_other_as_one_rollout() -> None:
    stage = {"share": 1, "length": 2, "free": True, "chunks": 4, "lead": 3}
    loop = one_pole(0.9)
    emulator = TrainingModule(loop, ESR(), Schedule([stage]))
    emulator.trainer = pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu", max_steps=1)
    seen: list[tuple[Tensor, Tensor]] = []
    emulator._learn = lambda stage, scale, prediction, params, target: seen.append((prediction, target))
    dry, wet = torch.rand(9, 1, 26), torch.rand(9, 1, 26)
    emulator.training_step((dry, wet), 0)
    end = loop.warm_up + 1 + 11
    whole = rollout(loop, dry[..., :end], wet[..., : end - 11]).prediction
    predictions, targets = (torch.cat(parts, dim=-1) for parts in zip(*seen, strict=True))
    assert torch.allclose(predictions, whole[..., 3:], atol=1e-6)
    assert torch.equal(targets, wet[..., end - 8 : end])


def test_a_training_ends_within_a_segment() -> None:
    stage = {"share": 1, "length": 2, "free": True, "chunks": 8}
    emulator = TrainingModule(one_pole(0.9), ESR(), Schedule([stage], steps=11))
    fit(emulator, 11)
    assert emulator.global_step == 11
