"""Resolvers for the option files in `conf/`: `${options:}`, `${embedding_units:NAME}`, `${where_plain:NAMES,VALUE}`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from omegaconf import OmegaConf

from fxemu.training.run_folder import CONF


def options() -> str:
    """The options of each group, a line each, as `--help` lists them."""
    groups = (group for group in sorted(CONF.iterdir()) if group.is_dir() and group.name != "hydra")
    return "\n\n".join("\n".join([f"{group.name}=", *_described(group)]) for group in groups)


def _described(group: Path) -> Iterator[str]:
    """The names of a group's option files, each with the comment that the file begins with."""
    for path in sorted(group.glob("*.yaml")):
        comments = (line for line in path.read_text().splitlines() if not line.startswith("# @package"))
        yield f"  {path.stem:<20}{next(comments).removeprefix('# ')}"


def embedding_units(target: str) -> int:
    """`Representation.embedding_units` of a class by its `_target_`; 0 for other classes."""
    from fxemu import representations

    kind = getattr(representations, target.rpartition(".")[2], None)
    return getattr(kind, "embedding_units", 0)


def where_plain(targets: Sequence[str], value: int) -> int:
    """The value if the representations with these `_target_` are plain samples, 0 if not."""
    from fxemu import representations

    kinds = [getattr(representations, target.rpartition(".")[2], None) for target in targets]
    return value if all(getattr(kind, "plain_samples", False) for kind in kinds) else 0


OmegaConf.register_new_resolver("where_plain", where_plain, replace=True)
OmegaConf.register_new_resolver("options", options, replace=True)
OmegaConf.register_new_resolver("embedding_units", embedding_units, replace=True)
