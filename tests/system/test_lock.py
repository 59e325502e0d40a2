"""The lock: README's commands install by it, and it lies within pyproject's bounds."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent.parent
LOCK = (ROOT / "requirements.lock").read_text()


def versions(name: str) -> list[Version]:
    """Those that the lock holds of a package: one, or one for each of several Pythons."""
    found = re.findall(rf"^{re.escape(name)}(?:\[[^\]]*\])?==([^ ;\n]+)", LOCK, re.MULTILINE)
    return [Version(version) for version in found]


def test_the_bounds_contain_the_lock():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    stated = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    assert len(stated) > 20
    for requirement in map(Requirement, stated):
        assert len(requirement.specifier) >= 2, f"{requirement}: both bounds"
        locked = versions(re.sub(r"[-_.]+", "-", requirement.name).lower())
        assert locked, f"{requirement.name} is not in the lock"
        assert all(version in requirement.specifier for version in locked), f"{requirement} and {locked}"


def test_every_version_in_the_lock_is_exact():
    lines = [line for line in LOCK.splitlines() if not line.startswith("#")]
    assert len(lines) > 100
    assert all(re.fullmatch(r"[a-z0-9.-]+(\[[^\]]*\])?==[^ ;]+( ; .+)?", line) for line in lines)


def test_the_command_that_makes_it_stands_in_it():
    assert re.search(r"^#    uv pip compile pyproject.toml .* -o requirements.lock$", LOCK, re.MULTILINE)


def test_the_readme_installs_by_it():
    commands = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("pip install -e")]
    assert len(commands) == 2 and all("-c requirements.lock" in line for line in commands)
