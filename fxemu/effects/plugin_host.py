"""Run one plugin on one song, as a process that `effects/plugin.py` starts with a folder of files.

request.json names the plugin, its parameters and the sample rate. With dry.npy in the folder, wet.npy is written, else
report.json with the plugin's parameters. This is the only file that imports pedalboard, which is under the GPL-3.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def main(folder: Path) -> None:
    """Write wet.npy or report.json into the folder."""
    import pedalboard

    request = json.loads((folder / "request.json").read_text())
    plugin = pedalboard.load_plugin(request["path"], plugin_name=request["name"])
    if not (folder / "dry.npy").is_file():
        (folder / "report.json").write_text(json.dumps(described(plugin)))
        return
    for name, value in request["parameters"].items():
        setattr(plugin, name, value)
    np.save(folder / "wet.npy", processed(plugin, np.load(folder / "dry.npy"), request["sample_rate"]))


def described(plugin: Any) -> dict[str, dict[str, Any]]:
    """The range of each parameter by name, or its choices where those are words or switches."""
    report = {}
    for name, parameter in plugin.parameters.items():
        low, high = (parameter.range[i] if parameter.range else None for i in (0, 1))
        values = list(parameter.valid_values or [])
        words = bool(values) and isinstance(values[0], str | bool)
        report[name] = {"low": None if words else low, "high": None if words else high, "choices": values * words}
    return report


def processed(plugin: Any, dry: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
    """Wet (samples,), the latency taken out by pedalboard; a stereo plugin gets dry twice, and its mean is taken."""
    try:
        wet = plugin(dry[None], float(sample_rate), reset=True)
    except ValueError:
        wet = plugin(np.stack((dry, dry)), float(sample_rate), reset=True)
    return np.asarray(wet, np.float32).mean(axis=0)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {error}")
