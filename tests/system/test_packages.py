"""Which rooms may use which packages, and that every room has its floor and its line in the architecture."""

import re
import sys
from pathlib import Path

import pytest
from system.test_layers import FILES, FLOOR, FOLDER, imports

PURE = {"torch", "torchaudio", "auraloss", "numpy", "scipy", "numba", "llvmlite", "safetensors", "pedalboard", "fxemu"}
PURE |= sys.stdlib_module_names
ONLY_IN = {
    "hydra": {"training", "cli"},
    "omegaconf": {"training", "cli"},
    "pytorch_lightning": {"data", "training"},
    "pedalboard": {"effects"},
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_packages_are_used_where_they_may_be(path: Path) -> None:
    room = path.relative_to(FOLDER).parts[0].removesuffix(".py")
    outside = {name.split(".")[0] for name in imports(path)}
    assert {package for package, allowed in ONLY_IN.items() if package in outside and room not in allowed} == set()
    if room in ("engine", "representations", "models", "losses", "effects"):
        assert outside <= PURE


def test_every_folder_has_its_floor_and_is_named_by_the_architecture() -> None:
    folders = [path.parent.relative_to(FOLDER) for path in FOLDER.rglob("*/__init__.py")]
    rooms = {folder.parts[0] for folder in folders} | {path.stem for path in FOLDER.glob("[a-z]*.py")}
    assert rooms == set(FLOOR)
    text = (FOLDER.parent / "docs" / "architecture.md").read_text()
    assert [str(folder) for folder in folders if not re.search(rf"`(fxemu/)?({folder}|{folder.name})[/`]", text)] == []
