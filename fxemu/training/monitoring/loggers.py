"""Lightning's loggers of a run, and sounds, pictures and texts in those that take them."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch import Tensor
from torch.utils.tensorboard.summary import hparams

from fxemu.audio.tensors import write_wav
from fxemu.errors import ConfigError
from fxemu.evaluation.compare import FEEDBACK, LIBRARY, MAX_TIME, word
from fxemu.files import printable
from fxemu.training.environment import words_of

# The loggers that a config may name, and what a run gives each beside its options.
PLACE = {
    # Of a run whose events lie in the folder that it is shown, TensorBoard says nothing but ".".
    "TensorBoardLogger": lambda folder, name: {"save_dir": folder, "name": name, "version": ""},
    "CSVLogger": lambda folder, name: {"save_dir": folder},
    "WandbLogger": lambda folder, name: {"save_dir": folder, "name": folder.name},
    "MLFlowLogger": lambda folder, name: {"save_dir": str(folder / "mlruns"), "run_name": folder.name},
}
MODULE = "pytorch_lightning.loggers"
# Options of most runs, which the table of runs leaves out where they are not swept.
USUAL = {"repr": "raw", "training": "free_running", "seed": 0}
# A run from before there was a choice of loggers.
DEFAULT = {"tensorboard": {"_target_": f"{MODULE}.TensorBoardLogger"}}


def build_loggers(config: DictConfig, folder: Path) -> list[Logger]:
    """The loggers that a config asks for, which write into the run folder, or to where their options say.

    Raises:
        ConfigError: for a class that is none of Lightning's, one whose package is missing, or a wrong argument.
    """
    made = []
    for name, options in OmegaConf.to_container(config, resolve=True).get("logger", DEFAULT).items():
        module, _, kind = str(options.get("_target_")).rpartition(".")
        if module != MODULE or kind not in PLACE:
            raise ConfigError(f"logger.{name}: got {options.get('_target_')!r}; must be one of {', '.join(PLACE)}")
        # MLflow 3 asks whether its folders, which it no longer develops, are meant.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        try:
            made.append(instantiate({**options, **PLACE[kind](folder, _run_name(config))}))
        except ModuleNotFoundError as error:
            raise ConfigError(f'logger={name}: its package is missing; pip install "fxemu[{name}]"') from error
        except Exception as error:
            raise ConfigError(f"logger.{name}: {error}") from error
    return made


def _run_name(config: DictConfig) -> str:
    """A run as TensorBoard names it: its effect and its model, of `model=auto` the one that won."""
    return "-".join(words_of(config)).replace(", ", "-").replace(" ", "-")


class Gallery:
    """Sounds, pictures, texts and last scores of a run, in those of its loggers that take them.

    Args:
        loggers: of the run; a CSV takes numbers alone.
        step: that they are shown at.
    """

    def __init__(self, loggers: Sequence[Logger], step: int = 0) -> None:
        self.loggers, self.step = loggers, step

    def at(self, step: int) -> Gallery:
        """The same at another step."""
        return Gallery(self.loggers, step)

    def scores(self, values: dict[str, float]) -> None:
        """Numbers by name."""
        for logger in self.loggers:
            logger.log_metrics(values, self.step)

    def audio(self, tag: str, samples: Tensor, sample_rate: int) -> None:
        """A sound: samples (samples,) at a rate in Hz, clipped to +-1."""
        samples = samples.clamp(-1, 1)
        for logger in self.loggers:
            match logger:
                case TensorBoardLogger():
                    logger.experiment.add_audio(tag, samples[None], self.step, sample_rate=sample_rate)
                case WandbLogger() | MLFlowLogger():
                    with tempfile.TemporaryDirectory() as folder:
                        path = Path(folder) / f"{_file(tag)}-{self.step}.wav"
                        write_wav(path, samples, sample_rate)
                        if isinstance(logger, WandbLogger):
                            logger.log_audio(tag, [str(path)], self.step)
                        else:
                            logger.experiment.log_artifact(logger.run_id, str(path), "audio")

    def image(self, tag: str, pixels: NDArray[Any]) -> None:
        """A picture: pixels (height, width, 3), 8 bits."""
        for logger in self.loggers:
            match logger:
                case TensorBoardLogger():
                    logger.experiment.add_image(tag, pixels, self.step, dataformats="HWC")
                case WandbLogger():
                    logger.log_image(tag, [pixels], self.step)
                case MLFlowLogger():
                    place = f"plots/{_file(tag)}-{self.step}.png"
                    logger.experiment.log_image(logger.run_id, pixels, artifact_file=place)

    def text(self, tag: str, markdown: str) -> None:
        """A text in Markdown."""
        for logger in self.loggers:
            match logger:
                case TensorBoardLogger():
                    logger.experiment.add_text(tag, markdown, self.step)
                case MLFlowLogger():
                    logger.experiment.log_text(logger.run_id, markdown, f"{_file(tag)}-{self.step}.md")

    def options(self, chosen: dict[str, Any]) -> None:
        """The options that tell runs apart, by name; for TensorBoard see `row`."""
        for logger in self.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.hparams.update(chosen)
            else:
                logger.log_hyperparams(chosen)

    def row(self, chosen: dict[str, Any], sounds: str, headings: dict[str, str], swept: bool = False) -> None:
        """A row of TensorBoard's table of runs; TensorBoard keeps the first that it gets, so it is for the end.

        Args:
            chosen: options by name.
            sounds: how the run sounds, in few words.
            headings: of the scores, by the tag that each is logged under.
            swept: whether the run is one of a sweep, so that numbers have columns of their own.
        """
        for logger in self.loggers:
            if isinstance(logger, TensorBoardLogger):
                for summary in _table(_columns(chosen, swept) | {"sounds": sounds}, headings):
                    logger.experiment._get_file_writer().add_summary(summary)

    def layout(self, charts: dict[str, Any]) -> None:
        """TensorBoard's custom charts: {group: {title: [kind, tags]}}."""
        for logger in self.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_custom_scalars(charts)

    @property
    def shows(self) -> bool:
        """Whether any logger takes more than numbers."""
        return any(isinstance(logger, TensorBoardLogger | WandbLogger | MLFlowLogger) for logger in self.loggers)

    def flush(self) -> None:
        """Write to disk what the loggers have buffered."""
        for logger in self.loggers:
            logger.save()
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.flush()


def _columns(chosen: dict[str, Any], swept: bool) -> dict[str, Any]:
    """Options as the few columns that TensorBoard has room for: effect, model, and the others in words.

    It shows some 17 letters of a column: those come first in which runs differ most often, and the usual is left out.
    """
    told = {name: value for name, value in chosen.items() if swept or USUAL.get(name) != value}
    shown_first = {name: told[name] for name in (MAX_TIME, "repr", "loss", "seed") if name in told}
    left_out = ("effect", "model", FEEDBACK, LIBRARY)
    others = {name: value for name, value in (shown_first | told).items() if name not in left_out}
    apart = {name: float(value) for name, value in others.items() if swept and _is_number(value)}
    words = [word(name, str(value)) for name, value in others.items() if name not in apart]
    named = {name: chosen[name] for name in ("effect", "model") if name in chosen}
    return {**named, **apart, "options": ", ".join(words)}


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _table(columns: dict[str, Any], headings: dict[str, str]) -> tuple[Summary, Summary, Summary]:
    """A row of TensorBoard's HPARAMS, with headings of its scores that PyTorch does not write."""
    experiment, start, end = hparams(columns, dict.fromkeys(headings))
    plugin = experiment.value[0].metadata.plugin_data
    content = HParamsPluginData.FromString(plugin.content)
    for info in content.experiment.metric_infos:
        info.display_name = headings[info.name.tag]
    plugin.content = content.SerializeToString()
    return experiment, start, end


def _file(tag: str) -> str:
    """A tag as the name of a file."""
    return re.sub(r"[^\w.-]", "_", printable(tag))
