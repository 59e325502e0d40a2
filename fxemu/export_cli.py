"""`fxemu export RUN --format c`: a finished run as a file for another runtime, checked before it appears."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf

from fxemu.export import FORMATS, ExportError, Model, export
from fxemu.rollout import ClosedLoop
from fxemu.train import ConfigError, _only_ours


def main(arguments: list[str]) -> None:
    """Write the file; exit 1 if the format cannot hold the model, or the check fails."""
    lines = [f"  {name:<12}{form.__doc__.splitlines()[0]}" for name, form in FORMATS.items()]
    parser = argparse.ArgumentParser(
        "fxemu export",
        description="\n".join([__doc__, "", "formats:", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("--format", choices=FORMATS, required=True)
    parser.add_argument("--output", type=Path, help="where to write it; else into the run folder, named as the run is")
    parser.add_argument("--name", help="of the emulation; else the run folder's")
    given = parser.parse_args(arguments)
    form = FORMATS[given.format]()
    try:
        model = load(given.run, given.name or given.run.resolve().name)
        path = given.output or given.run / "export" / f"{model.identifier}{form.suffix}"
        found = export(model, form, path)
    except (ConfigError, ExportError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    print(f"{path}\n{found}")


def load(run: Path, name: str) -> Model:
    """The best checkpoint of a run folder; ConfigError if there is none, or its config is not a run's."""
    try:
        config = OmegaConf.load(run / "config.yaml")
        _only_ours(config)
        encoder, decoder = instantiate(config.repr.input), instantiate(config.repr.output)
        predictor = instantiate(config.model, channels=encoder.channels, params=decoder.params)
        loop = ClosedLoop(predictor, encoder, decoder)
        saved = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True, map_location="cpu")["state_dict"]
        prefix = "loop."
        loop.load_state_dict({key.removeprefix(prefix): w for key, w in saved.items() if key.startswith(prefix)})
    except FileNotFoundError as error:
        raise ConfigError(f"{run}: no {Path(error.filename).name}; give the folder of a finished run") from error
    except InstantiationException as error:
        raise ConfigError(str(error.__cause__ or error)) from error
    return Model(loop, config.data.sample_rate, name)
