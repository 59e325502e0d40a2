"""The race of `model=auto`: candidates train for a short time, the better half stays, and one trains for the rest."""

from __future__ import annotations

import copy
import json
import time
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict

from fxemu.errors import ConfigError, Terminated, UserError
from fxemu.files import write_json, write_whole
from fxemu.training.durations import seconds_of
from fxemu.training.monitoring.terminal import tell
from fxemu.training.race.candidates import compose_candidates, save_candidates, saved_candidates
from fxemu.training.race.heat import RESULT, Heat, Result, read_common
from fxemu.training.race.standings import Race
from fxemu.training.race.tasks import Interrupt, cores
from fxemu.training.run_folder import RACE, process_count, saved_config
from fxemu.training.trainer import set_up_process

SPENT = "spent.json"


def after_race(config: DictConfig, folder: Path, resumed: bool) -> tuple[DictConfig, Race | None]:
    """The config to train by, and the race that found it: held now, or by the earlier start of a run that is resumed.

    Raises:
        UserError: if no candidate has reached anything.
        Terminated: if it was interrupted before one had.
    """
    if resumed:
        return _without_race(saved_config(folder) if "race" in config else config), finished_race(folder)
    if "race" not in config or not is_worth_it(config):
        return _without_race(config), None
    race = run_race(config, folder)
    finalist = race.finalist()
    if finalist is None:
        if race.received:
            raise Terminated(race.received)
        raise UserError("model=auto: no candidate has come through: " + "; ".join(r.line() for r in race.results))
    return race.final_config(finalist), race


def _without_race(config: DictConfig) -> DictConfig:
    config = copy.deepcopy(config)
    with open_dict(config):
        config.pop("race", None)
    return config


def is_worth_it(config: DictConfig) -> bool:
    """Whether a training is long enough for a race, made by one process, and of one value a sample.

    The candidates' recipes are for such samples; they have not been tried on one-hot and binary codes.
    """
    plain = all(config.repr[side]._target_.rpartition(".")[2] in ("Raw", "MuLaw") for side in ("input", "output"))
    alone = config.trainer.devices in (1, "1") and config.trainer.num_nodes == 1 and process_count() == 1
    long = seconds_of(config.trainer.max_time) >= config.race.least_s
    return plain and alone and long and config.training.steps >= config.race.least_steps


def run_race(config: DictConfig, folder: Path) -> Race:
    """Hold the race of a config with `race`, or what is left of it where an earlier start was interrupted.

    Raises:
        ConfigError: if no candidate can take part.
    """
    race = _opened(config, folder)
    set_up_process(config)
    race.common = read_common([*race.candidates.values()])
    begun = time.perf_counter()
    heat = Heat(folder, race.max_time, race.common, config.threads or cores())
    fitted, trained = ([c for c in race.candidates.values() if c.closed_form == closed] for closed in (True, False))
    tell(f"{race.common.data.source.summary()}; race of {', '.join(race.candidates)}, {heat.workers} at once")
    interrupt = Interrupt()
    with interrupt.kept():
        race.results += heat.hold([c for c in fitted if c.after is None], 0, 0.0, interrupt)
        race.results += heat.hold([c for c in fitted if race.has_reached(c.after)], 0, 0.0, interrupt)
        if race.least() > config.race.enough and not race.moves():
            for number, share in enumerate(config.race.rounds, start=1):
                race.results += heat.hold(trained, number, share, interrupt)
                trained = race.better_half(trained)
                late = time.perf_counter() - begun > config.race.until * seconds_of(race.max_time)
                if len(trained) < 2 or late:
                    break  # nobody is left to be compared with, or the rest is for the one who trains on
    race.received = interrupt.received
    race.seconds = _earlier_seconds(folder) + time.perf_counter() - begun
    write_json(folder / RACE / SPENT, {"seconds": race.seconds})
    return race


def _earlier_seconds(folder: Path) -> float:
    """Seconds that an earlier start of the race has taken before it was interrupted."""
    spent = folder / RACE / SPENT
    return json.loads(spent.read_text())["seconds"] if spent.is_file() else 0.0


def _opened(config: DictConfig, folder: Path) -> Race:
    """A race at its beginning, its candidates written into the run folder unless they are there."""
    candidates, absent = saved_candidates(config, folder / RACE), {}
    if not candidates:
        candidates, absent = compose_candidates(config)
        if not candidates:
            raise ConfigError("; ".join(dict.fromkeys(absent.values())))
        save_candidates(candidates, folder / RACE)
        write_whole(folder / RACE / "config.yaml", OmegaConf.to_yaml(config, resolve=True).encode())
    by_name = {candidate.name: candidate for candidate in candidates}
    return Race(folder, by_name, config.trainer.max_time, config.race.rounds, config.race.within, absent)


def finished_race(folder: Path) -> Race | None:
    """The race that an earlier start of a run has held; None if there was none."""
    if not (folder / RACE / "config.yaml").is_file():
        return None
    race = _opened(OmegaConf.load(folder / RACE / "config.yaml"), folder)
    found = sorted((folder / RACE).glob(f"*/*/{RESULT}"), key=lambda path: path.stat().st_mtime)
    race.results = [Result(**json.loads(path.read_text())) for path in found]
    return race
