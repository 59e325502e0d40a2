"""One run, from a config to a trained emulation with its report."""

from __future__ import annotations

import io
import math
import signal
import sys
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf

from fxemu.data.learnability import unlearnable_line
from fxemu.data.levels import level_line
from fxemu.data.module import SongData
from fxemu.errors import ConfigError, FitError, TrainingDivergedError
from fxemu.evaluation import validation
from fxemu.evaluation.character import sound_in_brief
from fxemu.evaluation.diagnosis import box_sentence
from fxemu.evaluation.metrics import esr_db
from fxemu.evaluation.pages.run_page import effect_in_words, score_rows, write_run_page
from fxemu.evaluation.plots import race_curve, training_curve
from fxemu.evaluation.publishing import Publisher
from fxemu.evaluation.report import evaluate, table
from fxemu.evaluation.runs import flat_options, read_run
from fxemu.evaluation.scores import RaceScores, Report
from fxemu.files import printable, write_json, write_whole
from fxemu.models.closed_loop import ClosedLoop
from fxemu.models.files import save
from fxemu.training.callbacks import KeepCurve, StopOnInterrupt, read_checkpoint
from fxemu.training.checks import check_config
from fxemu.training.environment import chosen_options, environment, told_options
from fxemu.training.module import TrainingModule
from fxemu.training.monitoring.loggers import Gallery
from fxemu.training.monitoring.terminal import tell
from fxemu.training.overrides import absolute_paths, command_line, moved
from fxemu.training.parts import build, build_parts
from fxemu.training.race import Race, after_race
from fxemu.training.run_folder import (
    checkpoint_to_resume,
    explain_failed_writes,
    finished_score,
    in_sweep,
    locked,
    saved_config,
    write_hydra_record,
)
from fxemu.training.trainer import build_trainer, set_up_process

# Scores in TensorBoard's table of runs and their headings there; five are shown, and there is room for two.
SHOWN_SCORES = {
    "esr_db": "test ESR in dB: low is good",
    "realtime_factor": "speed",
    "mrstft": "MR-STFT: low is good",
    "esr_worst": "ESR, worst song",
    "multiply_adds": "multiply-adds",
    "esr": "ESR",
    "nmae": "NMAE",
    "worst_over_best": "worst/best past",
    "train_seconds": "seconds of training",
}


def run(config: DictConfig, folder: Path) -> float:
    """Train in a run folder, from the beginning or from its last checkpoint; returns the score that `train` returns.

    A run that has finished is not repeated, and one with `resume` is trained by the config in its folder.
    """
    if not str(folder).isprintable():
        raise ConfigError(f"{printable(folder)}: TensorBoard cannot write to a folder of this name; choose another one")
    with explain_failed_writes(folder), locked(folder):
        if config.resume:
            return train(moved(saved_config(folder), config), folder, checkpoint_to_resume(folder))
        # So that the run is the same from wherever it is resumed.
        config = absolute_paths(config)
        score = finished_score(config, folder)
        return train(config, folder, checkpoint_to_resume(folder)) if score is None else score


def train(config: DictConfig, folder: Path, resume: Path | None) -> float:
    """Train, evaluate and report in `folder`, from a checkpoint or from the beginning; of `model=auto` after a race.

    Returns:
        the least selection score (`val/esr`, see `validation.scores`); infinity if there is none. Of several processes
        that train together the first alone writes and reports; the others return NaN.

    Raises:
        SystemExit: with status 143 after SIGTERM, and 129 after SIGHUP, once the report is written.
    """
    check_config(config)
    config, race = after_race(config, folder, resume is not None)
    parts = build_parts(config)
    set_up_process(config)
    chosen = chosen_options(folder, resume is not None)
    data, module = build(config, parts)
    curve = KeepCurve()
    trainer = build_trainer(config, folder, parts.schedule.steps, curve)
    if race is not None and not resume:
        race.hand_over(data, module, curve)
    data.setup()
    if trainer.is_global_zero:
        box = _tell_what_is_learned(data, f"{'resuming' if resume else 'writing'} in {folder}")
        _write_beginning(config, folder, trainer, chosen, resume is not None)
    failed = None if race is not None and race.received else _fit(trainer, module, data, curve, resume, race)
    seconds = curve.seconds()
    if not trainer.is_global_zero:
        return math.nan
    if not curve.validations and failed is None and (race is None or not race.received):
        # A fit in closed form, without a step.
        wrong = module.wrong or data.wrong_history_pieces(float(module.loop.limit))
        scores = validation.scores(module.loop, data.validation_songs(), module.settled, wrong)
        curve.validations.append((0, scores["val/esr"], scores["val/teacher_forced_esr"]))
    about = {"train_seconds": seconds, "validation_share": module.validating_s / seconds}
    about |= {"box": box} | {name: chosen[name] for name in ("effect", "repr", "model")}
    if race is not None:
        config, module, about["race"] = race.conclude(config, module, curve)
        write_whole(folder / "config.yaml", OmegaConf.to_yaml(config, resolve=True).encode())
    _report(config, folder, data, module, curve, about, Gallery(trainer.loggers, trainer.global_step), chosen)
    if failed is not None and race is None:
        raise failed
    signals = [each.received for each in [*trainer.callbacks, race] if isinstance(each, StopOnInterrupt | Race)]
    if stopped := [number for number in signals if number is not None]:
        tell(f"to continue: {command_line(f'resume={folder}')}")
        if stopped[0] != signal.SIGINT:
            sys.exit(128 + stopped[0])
    return math.inf if curve.best() is None else curve.best()


def _tell_what_is_learned(data: SongData, where: str) -> str | None:
    """Print how much audio there is, where the run is, and what the effect seems to be; returns that sentence."""
    training = data.parts["train"]
    if data.skipped:
        tell(str(data.skipped), error=True)
    tell(f"{data.source.summary()}; {where}")
    for line in (level_line(training), unlearnable_line(data.effect, training[0], data.sample_rate)):
        if line:
            tell(line)
    if box := box_sentence(training, data.sample_rate):
        tell(f"to learn: {box}")
    return box


def _write_beginning(
    config: DictConfig, folder: Path, trainer: pl.Trainer, chosen: dict[str, str], resumed: bool
) -> None:
    """Write config.yaml and environment.json, and remove metrics.json: a run that is resumed is not finished."""
    (folder / "metrics.json").unlink(missing_ok=True)
    if not resumed or not (folder / ".hydra" / "overrides.yaml").is_file():
        write_hydra_record(folder)
    write_whole(folder / "config.yaml", OmegaConf.to_yaml(config, resolve=True).encode())
    about = environment(config, trainer.strategy.root_device)
    write_json(folder / "environment.json", {**about, "chosen": chosen})
    gallery = Gallery(trainer.loggers)
    gallery.options(told_options(folder, config, chosen))
    gallery.text("run", "\n\n".join(_asked(config, folder)))


def _fit(
    trainer: pl.Trainer,
    module: TrainingModule,
    data: SongData,
    curve: KeepCurve,
    resume: Path | None,
    race: Race | None,
) -> TrainingDivergedError | FitError | None:
    """Train; a failure is returned if something was validated before it, to be raised after the report on that.

    After a race it is but told, as where a fit does not come through with all of the songs: what is reported on then is
    the best of the race.
    """
    try:
        trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
    except (TrainingDivergedError, FitError) as error:
        if race is not None:
            tell(f"the best of the race is kept, since its last training failed: {error}", error=True)
        elif not curve.validations:
            raise
        return error
    return None


def _report(
    config: DictConfig,
    folder: Path,
    data: SongData,
    module: TrainingModule,
    curve: KeepCurve,
    about: dict[str, Any],
    gallery: Gallery,
    chosen: dict[str, str],
) -> None:
    """Write the last model, the best one and its report: pictures, audio, and metrics.json, which ends a run."""
    (folder / "plots").mkdir(exist_ok=True)
    race: RaceScores | None = about.get("race")
    figures = {"training_curve": training_curve(curve.validations)} | ({"race": race_curve(race.rows)} if race else {})
    for name, figure in figures.items():
        picture = io.BytesIO()
        figure.savefig(picture, dpi=110)
        write_whole(folder / "plots" / f"{name}.png", picture.getvalue())
    loop = _save_models(config, folder, module)
    publisher = Publisher(folder, gallery, data.sample_rate)
    settings = data.settings_trained_at()
    scores = evaluate(loop, data.parts["train"], data.parts["test"], data.effect, settings, publisher)
    report = Report(
        test=scores,
        val_esr=curve.best(),
        parameters=sum(p.numel() for p in loop.parameters()),
        multiply_adds=loop.plan().multiply_adds(),
        audio_seconds=data.source.audio_seconds,
        **about,
    )
    write_json(folder / "metrics.json", report.to_json())
    page = write_run_page(folder)
    _show_result(config, folder, gallery, chosen)
    tell(f"\n{table(scores)}")
    if race is not None:
        tell(f"{race.why}: {race.options}")
    places = "model.safetensors checkpoints/ audio/ plots/ metrics.json config.yaml environment.json"
    spent = f"{about['train_seconds']:.0f} s, {about['validation_share']:.0%} of it for validation"
    tell(f"trained for {spent}; everything is in {folder}: {places}")
    tell(f"page: {page}, dashboard: tensorboard --logdir outputs")


def _show_result(config: DictConfig, folder: Path, gallery: Gallery, chosen: dict[str, str]) -> None:
    """Show the scores on the loggers: as numbers, and as a table below what was asked."""
    run = read_run(folder)
    scores = run.scores | {"esr_db": esr_db(run.scores["esr"])}
    gallery.scores({f"test/{name}": scores[name] for name in SHOWN_SCORES if name in scores})
    headings = {f"test/{name}": heading for name, heading in SHOWN_SCORES.items()}
    gallery.row(told_options(folder, config, chosen), sound_in_brief(run), headings, in_sweep())
    rows = [f"| {name} | {value} | {note} |" for name, value, note in score_rows(run)]
    text = "\n".join(["| score | | |", "|---|---|---|", *rows])
    gallery.text("run", "\n\n".join([*_asked(config, folder), text]))
    gallery.flush()


def _asked(config: DictConfig, folder: Path) -> list[str]:
    """The request in Markdown: the command, and the effect in words."""
    words = OmegaConf.load(folder / ".hydra" / "overrides.yaml")
    effect = effect_in_words(flat_options(OmegaConf.to_container(config, resolve=True)))
    return [f"    {printable(command_line(*map(str, words)))}", printable(effect)]


def _save_models(config: DictConfig, folder: Path, module: TrainingModule) -> ClosedLoop:
    """Save the model as it is in checkpoints/last/, and the best one in the run folder; returns that."""
    best, options = folder / "checkpoints" / "best.ckpt", OmegaConf.to_container(config, resolve=True)
    (last := best.with_name("last")).mkdir(parents=True, exist_ok=True)
    save(module.loop, options, last)
    if best.is_file():
        module.load_state_dict(read_checkpoint(best)["state_dict"])
    save(module.loop, options, folder)
    return module.loop.cpu()
