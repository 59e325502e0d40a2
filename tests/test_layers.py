"""The order of the parts: a file imports only from lower layers, or from its own package."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "fxemu"
LAYERS = [
    {"plan", "resampling", "files", "errors", "freed_memory"},
    {"decoding", "sound", "cells"},
    {"writing", "measure", "activations", "plugin_host", "audio_device", "foreign", "packed", "arrival"},
    {"audio", "worker"},
    {"representations", "models", "losses", "metrics"},
    {"library", "rollout", "plots", "schedule", "runs", "alignment", "shard"},
    {"weights", "engine", "index", "baselines", "findings"},
    {"effects"},
    {"gains", "cache", "slices", "first_look"},
    {"song_stream", "recordings", "channel"},
    {"data", "stability", "decay", "emulation"},
    {"emulator", "__init__"},
    {"callbacks", "render", "export", "levels", "priming", "page", "live", "check_pair", "capture", "library_cli"},
    {"evaluate", "export_cli", "sweep"},
    {"start", "task"},
    {"train", "compare"},
    {"door"},
    {"prepare"},
    {"cli"},
    {"__main__"},
]
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}
TOP = {"train", "task", "door", "start", "sweep", "prepare", "export_cli", "cli", "__main__"}
PURE = {"torch", "torchaudio", "auraloss", "numpy", "scipy", "numba", "fxemu", *sys.stdlib_module_names}
CONFIG, LIGHTNING = {"hydra", "omegaconf"}, {"pytorch_lightning", "lightning"}
FILES = sorted(FOLDER.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """The full names of the modules, or of names in them, that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_imports_go_down(path: Path) -> None:
    part = path.relative_to(FOLDER).parts[0].removesuffix(".py")
    names = [name.split(".") for name in imports(path)]
    inside = {name[1] for name in names if name[0] == "fxemu" and len(name) > 1 and name[1] in LEVEL}
    outside = {name[0] for name in names}
    assert part in LEVEL, "give it a place in LAYERS"
    assert {other for other in inside - {part} if LEVEL[other] >= LEVEL[part]} == set()
    if part == "effects" or LEVEL[part] == LEVEL["models"]:
        assert outside <= PURE
    if part not in TOP:
        assert not outside & CONFIG
    if part not in TOP | {"data", "emulator", "callbacks"}:
        assert not outside & LIGHTNING
