"""Content of environment.json, beside the config: code, packages, device, seeds, and the chosen options."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from fxemu.files import parse_json, printable

PACKAGES = (
    "torch",
    "torchaudio",
    "numpy",
    "scipy",
    "numba",
    "safetensors",
    "av",
    "pytorch-lightning",
    "pytorch-optimizer",
    "hydra-core",
)


def environment(config: DictConfig, device: torch.device) -> dict[str, Any]:
    """Git commit, versions, the device that is trained on, and seeds."""
    # Installed, it may lie within a repository of something else.
    ours = _git("ls-files", "--error-unmatch", Path(__file__).name)
    return {
        "git_commit": _git("rev-parse", "HEAD") if ours else None,
        "git_dirty": bool(ours and _git("status", "--porcelain")),
        "python": sys.version.split()[0],
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "seed": config.seed,
        "split_seed": config.data.split_seed,
    }


def _git(*arguments: str) -> str | None:
    """Output of a git command in the code's own folder; None where that is in no checkout."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def chosen_options(folder: Path, resumed: bool) -> dict[str, str]:
    """Names of the groups' options; of a run that is resumed, as its environment.json has them."""
    earlier = folder / "environment.json"
    known = parse_json(earlier.read_bytes()) if resumed and earlier.is_file() else {}
    if "chosen" in known:
        return known["chosen"]
    choices = HydraConfig.get().runtime.choices
    representation = "-".join(dict.fromkeys((choices["repr"], choices["repr@repr.output"])))
    groups = {name: choices[name] for name in ("effect", "model", "loss", "training")}
    return {**groups, "repr": representation}


def words_of(config: DictConfig) -> tuple[str, str]:
    """The effect and the model of a config by the names of their classes, such as `gru, no feedback`."""
    effect, model = (config[section]._target_.rpartition(".")[2].lower() for section in ("effect", "model"))
    return effect, model + (", no feedback" if config.model.get("feedback") is False else "")


def told_options(folder: Path, config: DictConfig, chosen: dict[str, str]) -> dict[str, Any]:
    """The options that tell a run from others: its choices, those that its command set one by one, and its seed.

    Of `model=auto` the model and the loss are those that the race has chosen.
    """
    if chosen["model"] == "auto":
        loss = config.loss._target_.rpartition(".")[2].lower()
        chosen = {**chosen, "model": f"{words_of(config)[1]} (auto)", "loss": loss}
    elif config.model.get("feedback") is False:
        chosen = {**chosen, "model": f"{chosen['model']}, no feedback"}
    words = OmegaConf.load(folder / ".hydra" / "overrides.yaml")
    values = dict(str(word).lstrip("+").split("=", 1) for word in words if "=" in str(word))
    told = {name: printable(value) for name, value in values.items() if "." in name}
    first = {name: chosen[name] for name in ("effect", "model", "repr", "loss") if name in chosen}
    return {**first, **told, "seed": config.seed, **{name: v for name, v in chosen.items() if name not in first}}
