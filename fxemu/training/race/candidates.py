"""Candidates of the race: options by name, over which those of the command line win, each composed to a config."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fxemu.errors import UserError
from fxemu.files import write_whole
from fxemu.training.overrides import absolute_paths
from fxemu.training.parts import build_parts


@dataclass(frozen=True)
class Candidate:
    """A config that takes part in a race.

    Args:
        name: of the candidate.
        options: that make it, as on the command line.
        config: of the whole run, without `race`.
        kind: of model: of each the better half stays from round to round; `moving` is what does so by itself.
        promise: the factor by which its error may still fall after a short training, at least 1.
        after: the fit without whose result it is not tried (None: it is in any case).
    """

    name: str
    options: tuple[str, ...]
    config: DictConfig
    kind: str
    promise: float
    after: str | None = None

    @property
    def closed_form(self) -> bool:
        """Whether its model is fitted without a step."""
        return self.config.training.steps == 0


def of_trained_weights(config: DictConfig) -> DictConfig:
    """The config for a network that has been trained already: it runs freely from the first step, if it ever does."""
    config = copy.deepcopy(config)
    free = [stage for stage in config.training.stages if stage.free]
    whole = sum(stage.share for stage in free)
    if free:
        config.training.stages = [{**stage, "share": stage.share / whole} for stage in free]
    return config


def compose_candidates(config: DictConfig) -> tuple[list[Candidate], dict[str, str]]:
    """The candidates of a config with `race`, and why others cannot take part, by name.

    A candidate is the command line with its options in front, so that what the user has set wins. Of those that this
    makes alike the first counts.
    """
    words = HydraConfig.get().overrides.task
    given = [word for word in words if not re.match(r"[+~]*(model=|race\b)", word)]
    found: list[Candidate] = []
    reasons: dict[str, str] = {}
    for name, candidate in _listed(config).items():
        options = [*candidate.options]
        try:
            composed = absolute_paths(compose("train", options + given))
            # A step would spoil a fit, whatever `training.steps` the others are given.
            if compose("train", options).training.steps == 0:
                composed.training.steps = 0
            build_parts(composed)
        except (HydraException, OmegaConfBaseException, UserError) as error:
            reasons[name] = str(error).splitlines()[0]
            continue
        if not any(_plain(composed) == _plain(other.config) for other in found):
            found.append(_candidate(name, candidate, composed))
    return found, reasons


def _listed(config: DictConfig) -> DictConfig:
    """The candidates by name; with knobs there are fewer."""
    return config.race.candidates_with_knobs if config.get("knobs") else config.race.candidates


def _candidate(name: str, listed: DictConfig, config: DictConfig) -> Candidate:
    return Candidate(name, tuple(listed.options), config, listed.kind, listed.promise, listed.get("after"))


def _plain(config: DictConfig) -> Any:
    return OmegaConf.to_container(config, resolve=True)


def save_candidates(candidates: list[Candidate], folder: Path) -> None:
    """Write their configs into folders of their names, so that a race can be resumed from anywhere."""
    for candidate in candidates:
        (folder / candidate.name).mkdir(parents=True, exist_ok=True)
        write_whole(folder / candidate.name / "config.yaml", OmegaConf.to_yaml(candidate.config, resolve=True).encode())


def saved_candidates(config: DictConfig, folder: Path) -> list[Candidate]:
    """Candidates that an earlier start of the race has written, in their order; none if there are none."""
    return [
        _candidate(name, each, OmegaConf.load(place))
        for name, each in _listed(config).items()
        if (place := folder / name / "config.yaml").is_file()
    ]
