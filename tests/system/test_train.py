"""Training end to end, as a user runs it: the run folder, resuming, stopping and every bad input."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import fields
from importlib import metadata
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
import yaml
from helpers.commands import FAST, forked, hooked, train, words_of
from hydra import compose, initialize_config_dir
from pytorch_lightning.callbacks import ModelCheckpoint

import fxemu
from fxemu.audio.tensors import decode, write_wav
from fxemu.cli.train import main
from fxemu.evaluation.scores import Report, Scores
from fxemu.training.callbacks import read_checkpoint
from fxemu.training.module import TrainingModule
from fxemu.training.parts import build_parts
from fxemu.training.run import build
from fxemu.training.run_folder import CONF

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """Five songs of two seconds of noise with a beat, below a folder whose name is as odd as names may be."""
    folder = tmp_path_factory.mktemp("library") / os.fsdecode("Don't (1), #2=音".encode() + b" \xe9")
    for i in range(5):
        noise = torch.randn(16_000, generator=torch.Generator().manual_seed(i))
        write_wav(folder / f"song{i}.wav", noise * (0.5 + 0.5 * torch.sin(torch.arange(16_000) * 0.002)), 8000)
    return folder


@pytest.fixture(scope="module")
def finished(library, tmp_path_factory) -> tuple[Path, str]:
    """The folder and the terminal of a finished run."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    done = train(library, folder, "effect=tanh", "repr=mulaw", "seed=0")
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_the_run_folder_holds_everything(finished):
    folder, _ = finished
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"config.yaml", "environment.json", "metrics.json", "report.html"} <= names
    assert {"checkpoints/best.ckpt", "checkpoints/last.ckpt", "model.safetensors", "model.json"} <= names
    assert {"checkpoints/last/model.safetensors", "checkpoints/last/model.json"} <= names
    scores = json.loads((folder / "metrics.json").read_text())
    for song in scores["test"]["songs"]:
        kinds = ("dry", "target", "prediction", "residual")
        assert {f"audio/{song['name']}-{kind}.wav" for kind in kinds} <= names
        pictures = ("waveform", "spectrograms", "transfer_curve", "error_over_time")
        assert {f"plots/{song['name']}-{picture}.png" for picture in pictures} <= names
        assert {f"audio/{song['name']}-40dB-{kind}.wav" for kind in kinds[:3]} <= names
    assert {"plots/levels.png", "plots/contraction.png"} <= names
    assert not [name for name in names if name.endswith(".part")]


def test_what_is_loaded_is_what_was_reported(finished):
    """The weights that a run is loaded with are those of the best checkpoint, which the report is of."""
    for song in json.loads((finished[0] / "metrics.json").read_text())["test"]["songs"]:
        dry, prediction = (
            decode(finished[0] / "audio" / f"{song['name']}-{kind}.wav")[0] for kind in ("dry", "prediction")
        )
        assert torch.equal(fxemu.load(finished[0])(dry, 8000), prediction)


def test_silence_stays_silence(finished):
    """The model rests near where tanh does; training goes on from weights that rest elsewhere."""
    assert float(fxemu.load(finished[0])(torch.zeros(8000), 8000)[-1].abs()) < 1e-3
    for name in ("best", "last"):
        checkpoint = read_checkpoint(finished[0] / "checkpoints" / f"{name}.ckpt")
        ((bias, trained),) = checkpoint["replaced"].items()
        assert float((trained - checkpoint["state_dict"][bias]).abs().max()) > 1e-2


def test_metrics_keep_the_contract(finished):
    scores = json.loads((finished[0] / "metrics.json").read_text())
    test = scores["test"]
    assert set(scores) == {field.name for field in fields(Report)}
    assert set(test) == {field.name for field in fields(Scores)}
    assert set(test["baselines"]) == {"copy_last", "gain", "fir"}
    assert (scores["effect"], scores["repr"], scores["model"]) == ("tanh", "mulaw", "mlp")


def test_a_run_with_knobs_reports_settings_that_it_was_not_trained_at(library, tmp_path):
    words = ["effect=tanh", "knobs={gain: [1, 9]}", "model.width=4", "training.steps=4"]
    done = train(library, tmp_path / "run", *words)
    assert done.returncode == 0, done.stderr
    assert "ESR at 16 settings not trained at" in done.stdout
    knobs = json.loads((tmp_path / "run" / "metrics.json").read_text())["test"]["knobs"]
    assert (tmp_path / "run" / "plots" / "settings.png").is_file()
    assert len(knobs["settings"]) == 16 and all(1 < x["values"]["gain"] < 9 for x in knobs["settings"])
    emulation, dry = fxemu.load(tmp_path / "run"), torch.randn(4000, generator=torch.Generator().manual_seed(0))
    assert [knob.default for knob in emulation.knobs] == [5.0]
    assert not torch.equal(emulation(dry, 8000, gain=2), emulation(dry, 8000))


def test_the_environment_is_kept(finished):
    environment = json.loads((finished[0] / "environment.json").read_text())
    assert environment["seed"] == 0
    assert environment["packages"]["torch"] == metadata.version("torch")
    assert {"git_commit", "device", "split_seed"} <= set(environment)


def test_the_terminal_ends_with_the_table(finished):
    folder, output = finished
    for line in (
        "model, free run",
        "copy-last",
        "best constant gain",
        "best FIR",
        "x real time",
        "input level",
        str(folder),
    ):
        assert line in output


def test_tensorboard_has_scalars_audio_figures_and_hyperparameters(finished):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tags: dict[str, set[str]] = {"scalars": set(), "audio": set(), "images": set(), "tensors": set()}
    hparams = False
    for file in finished[0].glob("tanh-mlp/events.out.tfevents.*"):
        events = EventAccumulator(str(file)).Reload()
        for kind in tags:
            tags[kind] |= set(events.Tags()[kind])
        hparams |= "_hparams_/session_start_info" in events.summary_metadata
    assert {"val/esr", "val/nmae", "val/teacher_forced_esr", "test/esr", "test/esr_db"} <= tags["scalars"]
    assert {"val_db/free_run", "val_db/worst_song", "val_songs_db/song0.wav"} <= tags["scalars"]
    assert {"train/stage_begins", "time/training_s"} <= tags["scalars"] and "epoch" not in tags["scalars"]
    assert {"custom_scalars__config__", "run/text_summary"} <= tags["tensors"] and hparams
    assert any(tag.endswith("/prediction") for tag in tags["audio"])
    assert any(tag.endswith("/waveform") for tag in tags["images"])
    options = yaml.safe_load((finished[0] / "tanh-mlp" / "hparams.yaml").read_text())
    assert {"effect", "repr", "model", "loss", "training", "seed", "data.segment"} <= set(options) and len(options) < 20


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def test_a_killed_run_resumes_to_the_same_result(finished, library, tmp_path):
    folder = tmp_path / "killed"
    words = words_of(library, f"hydra.run.dir={folder}", "effect=tanh", "repr=mulaw", "seed=0")
    done = forked(lambda: hooked(13, lambda _: os.kill(os.getpid(), signal.SIGKILL), words), tmp_path)
    assert done.returncode == -signal.SIGKILL
    assert (folder / "checkpoints" / "last.ckpt").is_file() and not (folder / "metrics.json").exists()
    done = forked(lambda: main([f"resume={folder}"]), tmp_path)
    assert done.returncode == 0, done.stderr
    scores = json.loads((folder / "metrics.json").read_text())
    assert (scores["effect"], scores["repr"], scores["model"]) == ("tanh", "mulaw", "mlp")
    first, second = weights(finished[0]), weights(folder)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert logged_steps(folder) == logged_steps(finished[0])


def logged_steps(folder: Path) -> list[int]:
    """The steps that TensorBoard shows validations at; one that was killed may not have written its last."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = (EventAccumulator(str(file)).Reload() for file in folder.glob("tanh-mlp/events.out.tfevents.*"))
    found = [each.Scalars("val/esr") for each in events if "val/esr" in each.Tags()["scalars"]]
    return sorted({event.step for scalars in found for event in scalars})[-1:]


def fitted(library: Path, folder: Path, stop_at: int) -> dict[str, torch.Tensor]:
    """The weights after a training in this process that ends with this step, and goes on if it had begun."""

    class Stop(pl.Callback):
        def on_train_batch_end(self, trainer, *_):
            trainer.should_stop |= trainer.global_step == stop_at

    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", [*FAST, "effect=tanh"])
    config.data.library = str(library)
    data, emulator = build(config, build_parts(config))
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    last = ModelCheckpoint(folder, "last", enable_version_counter=False)
    trainer = pl.Trainer(
        accelerator="cpu", max_steps=20, callbacks=[last, Stop()], reload_dataloaders_every_n_epochs=1, **quiet
    )
    begun = folder / "last.ckpt"
    trainer.fit(emulator, datamodule=data, ckpt_path=begun if begun.is_file() else None, weights_only=True)
    assert trainer.global_step == stop_at
    return emulator.state_dict()


@pytest.fixture(scope="module")
def whole(library, tmp_path_factory) -> dict[str, torch.Tensor]:
    """The weights after a training of 20 steps."""
    return fitted(library, tmp_path_factory.mktemp("whole"), 20)


# At the end of an epoch, and within the second.
@pytest.mark.parametrize("stop_at", [10, 13])
def test_a_run_that_was_stopped_resumes_with_the_batches_it_has_not_had(library, whole, tmp_path, stop_at):
    part = fitted(library, tmp_path / "parts", stop_at)
    assert not all(torch.equal(whole[name], part[name]) for name in whole)
    again = fitted(library, tmp_path / "parts", 20)
    assert all(torch.equal(whole[name], again[name]) for name in whole)


CLOSED_FORM = ["model=linear", "model.feedback=false", "repr=raw", "training=closed_form", "training.steps=0"]


@pytest.mark.parametrize(
    ("overrides", "last"),
    [(["training.steps=23"], 23), (CLOSED_FORM, 0)],
    ids=["steps that fill no epoch", "a fit without a step"],
)
def test_what_came_last_is_validated(library, tmp_path, overrides, last):
    done = train(library, tmp_path / "run", "effect=tanh", *overrides)
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert 0 < scores["val_esr"] < 10
    assert (f"step{last:8}  100%" in done.stdout) == bool(last)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_ctrl_c_and_sigterm_keep_the_best_and_write_the_report(library, tmp_path, number, status):
    folder = tmp_path / "stopped"
    words = words_of(library, f"hydra.run.dir={folder}", "effect=tanh", "training.steps=100000")
    done = forked(lambda: hooked(25, lambda _: os.kill(os.getpid(), number), words), tmp_path)
    assert done.returncode == status, done.stderr
    assert "interrupted" in done.stdout and "model, free run" in done.stdout
    assert f"to continue: python train.py resume={folder}\n" in done.stdout
    assert (folder / "checkpoints" / "best.ckpt").is_file() and (folder / "metrics.json").is_file()


def diverge(module: TrainingModule) -> None:
    raise module._diverged("the loss is nan")


@pytest.mark.parametrize("streamed", [False, True])
def test_a_training_that_diverges_keeps_the_best_and_writes_the_report(library, tmp_path, streamed):
    folder, options = tmp_path / "diverged", ["data.memory_hours=0", "data.excerpts=1"] if streamed else []
    words = words_of(library, "effect=tanh", *options, f"hydra.run.dir={folder}")
    done = forked(lambda: hooked(15, diverge, words), tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "the loss is nan at step 15. Try a lower training.learning_rate" in done.stderr
    assert "model, free run" in done.stdout and fxemu.load(folder)(torch.zeros(10), 8000).shape == (10,)
    assert json.loads((folder / "metrics.json").read_text())["val_esr"] > 0
    lines = "streaming 3 training songs", "reporting on excerpts of 1 songs"
    assert [line in done.stdout for line in lines] == [streamed] * 2


def test_training_stops_early_when_nothing_improves(library, tmp_path):
    done = train(
        library, tmp_path / "run", "effect=tanh", "patience=1", "training.steps=5000", "training.learning_rate=1e-30"
    )
    assert done.returncode == 0, done.stderr
    assert "step      20" in done.stdout and "step     100" not in done.stdout


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.library=nowhere"], "nowhere: no such folder"),
        (["effect=lowpass", "effect.cutoff_hz=5000"], "cutoff: got 5000 Hz; must be at most 0.48 of the sample rate"),
        (["effect=nonsense"], "Available options in 'effect'"),
        (["model.width=0"], "width: got 0"),
        (["training.stages=[]"], "add up to 0"),
        (["effect=tanh", "loss=esr", "training.learning_rate=1e30", "training.clip=1e30"], "learning_rate"),
        (["seed=one"], "seed"),
        (["trainer.devices=two"], "error: trainer: "),
        (["trainer.max_time=300"], "trainer.max_time: got 300; must be days:hours:minutes:seconds"),
    ],
)
def test_a_mistake_gets_one_clear_error_and_no_traceback(library, tmp_path, overrides, message):
    done = train(library, tmp_path / "run", *overrides)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr and "search path" not in done.stderr


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/none"])
def test_a_folder_that_cannot_be_made_is_named_with_what_to_do(library, tmp_path, place):
    (tmp_path / "file").touch()
    words = words_of(library, "effect=tanh", f"hydra.run.dir={tmp_path / place}")
    done = forked(lambda: main(words), tmp_path)
    assert done.returncode == 1 and "choose a folder that can be written: hydra.run.dir=FOLDER" in done.stderr
    assert done.stderr.count("\n") == 1


def test_help_is_a_page_worth_reading():
    done = subprocess.run([sys.executable, str(ROOT / "train.py"), "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    for words in ("python train.py effect=distortion repr=mulaw", "resume=", "learning_rate"):
        assert words in done.stdout
    # Each option in a line, with what its file begins with.
    for line in ("passthrough +No effect", "long_segments +Long segments, and free", "sizes +How long a window"):
        assert re.search(f"^  {line}", done.stdout, re.MULTILINE), line


def test_an_unknown_command_is_refused():
    done = subprocess.run([sys.executable, "-m", "fxemu", "sing"], capture_output=True, text=True)
    assert done.returncode == 2 and "no command 'sing'" in done.stderr
