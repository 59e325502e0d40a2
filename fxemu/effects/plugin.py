"""A VST3 or Audio Unit plugin as an effect, run by pedalboard in a separate process, so that its crash is an error."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fxemu.effects.base import Effect, EffectError
from fxemu.effects.command import SETTLE_S, file_state, run_program
from fxemu.errors import check_range

HOST = Path(__file__).resolve().with_name("plugin_host.py")
# The machine word in a program's header: offset and value for ELF of class 32, and for a Windows program.
ELF_32, PE_32 = b"\x7fELF\x01", b"PE\0\0\x4c\x01"


class Plugin(Effect):
    """A plugin that is loaded afresh for each whole song, so that no state is left over; its latency is taken out.

    Needs pedalboard (`pip install "fxemu[plugin]"`), which is under the GPL-3 and is loaded for this effect only.

    Args:
        path: the .vst3 or .component.
        parameters: values by name, in the plugin's own units; the rest stay at their defaults.
        name: of the plugin, in a file that holds several.
        timeout_s: for one song, 1 to 86400 s.
        settle_s: of silence before each song, 0 to 60 s; what is made of it is left out.
    """

    memory_s = None

    knob_option = "parameters"

    def __init__(
        self,
        path: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        name: str | None = None,
        timeout_s: float = 600.0,
        settle_s: float = SETTLE_S,
    ) -> None:
        check_range("timeout_s", timeout_s, 1, 86_400, "s")
        check_range("settle_s", settle_s, 0, 60, "s")
        if not path or not Path(path).exists():
            raise ValueError(f"path: got {path!r}; must be a .vst3 or .component that exists")
        if _is_32_bit(Path(path)):
            raise ValueError(f"path: {path} is a 32-bit plugin; fxemu runs 64-bit ones only: get its 64-bit version")
        if find_spec("pedalboard") is None:
            raise ValueError('effect=plugin needs pedalboard (GPL-3): pip install "fxemu[plugin]"')
        self.path, self.name, self.timeout_s = str(Path(path).resolve()), name, timeout_s
        self.parameters, self.settle_s = dict(parameters or {}), settle_s
        with tempfile.TemporaryDirectory(prefix="fxemu-") as folder:
            self._host(folder, {}, timeout_s=min(timeout_s, 60))
            self.described: dict[str, dict[str, Any]] = json.loads((Path(folder) / "report.json").read_text())
        for key, value in self.parameters.items():
            check_parameter(key, value, self.described)

    def identity(self) -> str:
        """Name and parameters, with size and time of the plugin's files."""
        files = sorted(p for p in Path(self.path).rglob("*") if p.is_file()) or [Path(self.path)]
        settings = f"{sorted(self.parameters.items())} {self.settle_s}"
        return f"plugin {self.name} {settings} {[file_state(str(file)) for file in files]}"

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        with tempfile.TemporaryDirectory(prefix="fxemu-") as folder:
            settling = round(self.settle_s * sample_rate)
            np.save(Path(folder) / "dry.npy", nn.functional.pad(dry, (settling, 0)).numpy())
            self._host(folder, {"parameters": self.parameters, "sample_rate": sample_rate}, self.timeout_s)
            return torch.from_numpy(np.load(Path(folder) / "wet.npy", allow_pickle=False))[settling:]

    def _host(self, folder: str, request: dict[str, Any], timeout_s: float) -> None:
        request = {"path": self.path, "name": self.name, **request}
        (Path(folder) / "request.json").write_text(json.dumps(request))
        run_program([sys.executable, "-P", str(HOST), folder], timeout_s, f"plugin {Path(self.path).name}")


def check_parameter(name: str, value: Any, described: Mapping[str, Mapping[str, Any]]) -> None:
    """ValueError unless the plugin has such a parameter, and the value is in its range or among its choices."""
    if name not in described:
        raise EffectError(f"parameters: the plugin has none named {name!r}; it has: {', '.join(sorted(described))}")
    low, high, choices = (described[name].get(key) for key in ("low", "high", "choices"))
    if choices and value not in choices:
        raise EffectError(f"{name}: got {value!r}; choose one of {', '.join(map(str, choices))}")
    if not choices and low is not None:
        if not isinstance(value, int | float):
            raise EffectError(f"{name}: got {value!r}; must be a number from {low:g} to {high:g}")
        check_range(name, value, low, high)


def _is_32_bit(path: Path) -> bool:
    """Whether all programs of a known kind in a plugin's bundle are for 32-bit machines."""
    headers = [_header(file) for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()]
    programs = [header for header in headers if header.startswith((b"\x7fELF", b"MZ"))]
    return bool(programs) and all(header.startswith(ELF_32) or PE_32 in header for header in programs)


def _header(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1024)
