"""Loggers: several at once, by option file; sounds and pictures in those that take them; moments of training."""

import csv
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from fxemu.effects import Tanh
from fxemu.errors import ConfigError
from fxemu.library.pair import Pair
from fxemu.training.environment import told_options
from fxemu.training.monitoring.dashboard import LEVELS_DB, MOMENTS, Dashboard, layout
from fxemu.training.monitoring.dashboard import SOUND as SOUND_CHARTS
from fxemu.training.monitoring.loggers import Gallery, build_loggers
from fxemu.training.run_folder import CONF

TABLE = ("experiment", "session_start_info")
SOUND = torch.sin(0.1 * torch.arange(4000))


def loggers(folder, *words: str):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return build_loggers(compose("train", ["effect=tanh", "model=gru", *words]), folder)


def shown(folder, *words: str) -> Gallery:
    """A gallery that everything was shown in."""
    gallery = Gallery(loggers(folder, *words))
    gallery.options({"effect": "tanh", "model": "gru", "seed": 0, "repr": "raw"})
    gallery.layout({"error": {"by song": ["Multiline", ["^val_songs_db/"]]}})
    for step in (1, 2):
        later = gallery.at(step)
        later.scores({"test/esr": 0.1 * step})
        later.audio("a song/prediction", SOUND, 8000)
        later.image("a song/waveform", np.zeros((8, 9, 3), np.uint8))
        later.text("run", "| a |\n|---|")
    gallery.flush()
    return gallery


def test_a_run_of_a_race_is_told_by_what_won(tmp_path):
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "overrides.yaml").write_text("[effect=tanh, effect.gain=3]")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", ["model=gru", "model.feedback=false", "loss=esr"])
    chosen = {"effect": "tanh", "model": "auto", "loss": "mulaw_mse"}
    assert told_options(tmp_path, config, chosen) == {
        **{"effect": "tanh", "model": "gru, no feedback (auto)", "loss": "esr", "seed": 0},
        "effect.gain": "3",
    }
    assert told_options(tmp_path, config, chosen | {"model": "gru"})["loss"] == "mulaw_mse"


def test_several_loggers_write_at_once(tmp_path):
    assert shown(tmp_path, "logger=[tensorboard,csv]").shows
    (file,) = tmp_path.glob("tanh-gru/events.out.tfevents.*")
    events = EventAccumulator(str(file)).Reload()
    assert [event.step for event in events.Audio("a song/prediction")] == [1, 2]
    assert [event.step for event in events.Images("a song/waveform")] == [1, 2]
    assert [event.value for event in events.Scalars("test/esr")] == pytest.approx([0.1, 0.2])
    with (tmp_path / "csv" / "version_0" / "metrics.csv").open() as table:
        assert [float(row["test/esr"]) for row in csv.DictReader(table)] == pytest.approx([0.1, 0.2])


@pytest.mark.parametrize(
    ("swept", "columns"),
    [
        (False, {"effect": "tanh", "model": "gru", "options": "50 s, learning_rate 1e-3", "sounds": "dull"}),
        (
            True,
            {
                "effect": "tanh",
                "model": "gru",
                "options": "50 s, raw",
                "sounds": "dull",
                "seed": 0,
                "training.learning_rate": 1e-3,
            },
        ),
    ],
)
def test_tensorboards_table_has_few_columns_and_numbers_of_a_sweep_apart(tmp_path, swept, columns):
    gallery = Gallery(loggers(tmp_path, "effect=tanh", "model=gru", "model.feedback=false"))
    options = {"effect": "tanh", "repr": "raw", "model": "gru", "seed": 0, "training.learning_rate": "1e-3"}
    left_out = {"data.library": "songs", "model.feedback": "false"}
    told = {**options, "trainer.max_time": "00:00:00:50", **left_out}
    gallery.row(told, "dull", {"test/esr": "ESR: low is good"}, swept)
    gallery.flush()
    plugin = EventAccumulator(str(tmp_path / "tanh-gru-no-feedback")).Reload().SummaryMetadata
    contents = {tag: HParamsPluginData.FromString(plugin(f"_hparams_/{tag}").plugin_data.content) for tag in TABLE}
    start = contents["session_start_info"].session_start_info.hparams
    assert {name: value.string_value or value.number_value for name, value in start.items()} == columns
    (score,) = contents["experiment"].experiment.metric_infos
    assert (score.name.tag, score.display_name) == ("test/esr", "ESR: low is good")


def test_charts_show_each_song_and_level_unsmoothed_under_its_name():
    errors, levels, _ = layout(["band/a.mp3"], [0, -24]).values()
    assert errors["band-a.mp3"] == ["Margin", ["val_songs_db/band-a.mp3"] * 3]
    assert levels["input turned down by 24 dB"] == ["Margin", ["val_levels_db/at_-24dB"] * 3]
    assert len(layout(["a.wav"], []).keys()) == 2
    # TensorBoard shows the last one first.
    assert [*errors] == ["band-a.mp3", *reversed(SOUND_CHARTS), "all songs; band: teacher forced to worst"]


def test_numbers_alone_need_nothing_shown(tmp_path):
    assert not Gallery(loggers(tmp_path, "logger=csv")).shows


def test_a_run_from_before_there_was_a_choice_has_tensorboard(tmp_path):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train")
    del config.logger
    assert [type(logger).__name__ for logger in build_loggers(config, tmp_path)] == ["TensorBoardLogger"]


@pytest.mark.parametrize("name", ["os.system", "pytorch_lightning.Trainer", "pytorch_lightning.loggers.CometLogger"])
def test_nothing_but_these_loggers_is_made(tmp_path, name):
    with pytest.raises(ConfigError, match="must be one of TensorBoardLogger, CSVLogger"):
        loggers(tmp_path, "logger=csv", f"logger.csv._target_={name}")


def test_weights_and_biases_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.chdir(tmp_path)
    gallery = shown(tmp_path, "logger=wandb", "logger.wandb.offline=true")
    gallery.loggers[0].experiment.finish()
    (run,) = (tmp_path / "wandb").glob("offline-run-*")
    kinds = [path.suffix for path in (run / "files" / "media").rglob("*") if path.is_file()]
    assert sorted(kinds) == [".png", ".png", ".wav", ".wav"] and list(run.glob("*.wandb"))


def test_mlflow_in_a_folder(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    gallery = shown(tmp_path, "logger=mlflow")
    client, run = gallery.loggers[0].experiment, gallery.loggers[0].run_id
    assert client.get_run(run).data.metrics["test/esr"] == pytest.approx(0.2)
    assert client.get_run(run).data.params["model"] == "gru"
    places = {item.path: len(client.list_artifacts(run, item.path)) for item in client.list_artifacts(run)}
    assert places == {"audio": 2, "plots": 2, "run-1.md": 0, "run-2.md": 0}


class Recorder(Gallery):
    """Keeps (step, tag) of all that is shown."""

    def __init__(self, step=0, seen=None):
        super().__init__([], step)
        self.seen = [] if seen is None else seen

    shows = True

    def at(self, step):
        return Recorder(step, self.seen)

    def audio(self, tag, samples, sample_rate):
        self.seen.append((self.step, tag))

    def image(self, tag, pixels):
        self.seen.append((self.step, tag))

    def scores(self, values):
        self.seen += [(self.step, tag) for tag in values]


@pytest.mark.parametrize(("elapsed_s", "moments"), [(1.0, 0), (1000.0, MOMENTS)])
def test_moments_of_training_are_shown_as_far_as_their_time_allows(make_loop, elapsed_s, moments):
    effect = Tanh(gain=2.0)
    song = Pair("a.wav", 0.5 * SOUND, effect(0.5 * SOUND, 8000))
    data = SimpleNamespace(validation_songs=lambda: [song], effect=effect, sample_rate=8000)
    trainer = SimpleNamespace(datamodule=data, is_global_zero=True, global_step=0)
    logged = []
    module = SimpleNamespace(loop=make_loop(), validating_s=1.0, log_dict=lambda values, **_: logged.append(values))
    dashboard = Dashboard(gallery := Recorder())
    dashboard.begun = time.perf_counter() - elapsed_s
    for step in range(30):
        trainer.global_step = step
        module.progress = lambda step=step: step / 30
        dashboard.on_validation_epoch_end(trainer, module)
    steps = [step for step, tag in gallery.seen if tag == "A validation song/prediction"]
    assert steps == list(range(0, 30, 3))[:moments]
    assert [step for step, tag in gallery.seen if tag == "A validation song/target"] == [0][:moments]
    assert sum(tag.startswith("val_levels_db/") for _, tag in gallery.seen) == len(LEVELS_DB) * moments
    assert sum(tag in SOUND_CHARTS.values() for _, tag in gallery.seen) == len(SOUND_CHARTS) * moments
    assert [values["time/validation_s"] for values in logged] == [1.0] * 30
