"""The order of the rooms: a file imports only from its own room or from lower ones."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent.parent / "fxemu"
# Rooms of one floor know nothing of each other.
FLOORS = [
    {"engine", "files", "errors", "arguments"},
    {"audio", "representations", "losses"},
    {"models", "library"},
    {"runtimes"},
    {"effects"},
    {"slices", "emulation", "evaluation"},
    {"data"},
    {"training"},
    {"cli"},
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(path for path in FOLDER.rglob("*.py") if path.name not in ("__main__.py",) and path.parent != FOLDER)
FILES += [FOLDER / f"{room}.py" for room in ("files", "errors", "arguments", "slices")]


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
    room = path.relative_to(FOLDER).parts[0].removesuffix(".py")
    names = [name.split(".") for name in imports(path)]
    rooms = {name[1] for name in names if name[0] == "fxemu" and len(name) > 1 and name[1] in FLOOR} - {room}
    assert {other for other in rooms if FLOOR[other] >= FLOOR[room]} == set()
