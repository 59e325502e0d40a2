"""Plays a finished run's plugin in jalv, under a JACK server without sound, and compares it with `fxemu render`.

Needs cc, jackd2 (with jack_rec, jack_metro and jack_connect) and jalv. At each rate a metronome goes through the plugin
for some seconds while dry and wet are recorded together.

    python scripts/check_jack.py RUN
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from scipy.io import wavfile
from torch import Tensor

from fxemu.audio.polyphase import round_trip
from fxemu.emulation import Emulation, load
from fxemu.emulation.locate import read_files
from fxemu.models.files import parse
from fxemu.runtimes import Model, export
from fxemu.runtimes.c.lv2 import Lv2, uri

RATES, SECONDS, TOLERANCE = (48_000, 96_000), 2, 1e-4
# jack_rec writes integers, in which what is louder than 1 would wrap around.
QUIETER_DB = -20
TICKS = "jack_metro", "--bpm", "240", "--frequency", "220", "--amplitude", "0.5", "--duration", "150", "--name", "ticks"


@contextmanager
def running(*command: str, environment: dict[str, str]) -> Iterator[None]:
    """A program that runs until the end, its standard input left open."""
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, **silent) as program:
        try:
            yield
        finally:
            program.terminate()


def connected(source: str, target: str, environment: dict[str, str]) -> None:
    """Connect two ports as soon as they are there; SystemExit after 10 s."""
    for _ in range(100):
        if not subprocess.run(["jack_connect", source, target], env=environment, capture_output=True).returncode:
            return
        time.sleep(0.1)
    raise SystemExit(f"{source} and {target} could not be connected: is the server running, and the plugin found?")


def recorded(bundles: Path, plugin: str, rate: int) -> tuple[Tensor, Tensor]:
    """Dry and wet (samples,), recorded together at a rate."""
    name, path = f"fxemu{os.getpid()}", bundles / f"{rate}.wav"
    environment = {**os.environ, "JACK_DEFAULT_SERVER": name, "JACK_NO_START_SERVER": "1", "LV2_PATH": str(bundles)}
    server = "jackd", "--no-realtime", "--sync", "-n", name, "-d", "dummy", "-r", str(rate), "-p", "1024"
    with ExitStack() as programs:
        for command in (server, ("jalv", "-n", "amp", "-c", f"output_gain={QUIETER_DB}", plugin), TICKS):
            programs.enter_context(running(*command, environment=environment))
            time.sleep(1)
        connected("ticks:240_bpm", "amp:dry", environment)
        record = "jack_rec", "-f", str(path), "-d", str(SECONDS), "-b", "32", "ticks:240_bpm", "amp:wet"
        subprocess.run(record, env=environment, capture_output=True, timeout=10 * SECONDS)
    samples = torch.from_numpy(wavfile.read(path)[1] / 2.0**31).float()
    return samples[:, 0], samples[:, 1] * 10 ** (-QUIETER_DB / 20)


def least_difference(wet: Tensor, dry: Tensor, emulation: Emulation, rate: int) -> float:
    """The largest difference from the render over the last second: the plugin played before, which has to be forgotten.

    The model's samples lie between the host's where they lay since the plugin's start: the best of all places counts.
    """
    differences = []
    for place in range(rate // math.gcd(rate, emulation.sample_rate)):
        expected = emulation(dry[place:], rate)
        end = min(wet.numel(), expected.numel() + place)
        last = wet[end - rate : end] - expected[end - rate - place : end - place]
        differences.append(float(last.abs().max()))
    return min(differences)


def exported(run: Path, bundles: Path) -> str:
    """Export a run's plugin into a folder, and return its URI."""
    content = read_files(run)
    loop, rate = parse(content, str(run))
    model = Model(loop, rate, "amp", content)
    print(export(model, Lv2(), bundles / "amp.lv2"))
    return uri(model)


def compare(
    description: str, rates: Iterable[int], play: Callable[[Path, str, int, int], tuple[Tensor, Tensor]]
) -> None:
    """Print the largest difference of a host from the render at each rate; exit 1 if one is too large.

    Args:
        description: of the command.
        rates: of the host, in Hz.
        play: dry and wet (samples,), without latency, of a folder with the plugin, its URI, a rate, and the model's.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    run, worst = parser.parse_args().run, 0.0
    emulation = load(run)
    with tempfile.TemporaryDirectory() as folder:
        plugin = exported(run, Path(folder))
        for rate in rates:
            dry, wet = play(Path(folder), plugin, rate, emulation.sample_rate)
            error = least_difference(wet, dry, emulation, rate)
            worst = max(worst, error)
            print(f"{rate} Hz: within {error:.1e} of the render, peak {float(wet.abs().max()):.2f}")
    raise SystemExit(int(worst > TOLERANCE))


def in_jalv(bundles: Path, plugin: str, rate: int, own: int) -> tuple[Tensor, Tensor]:
    """Dry and wet (samples,) as recorded, wet without the delay of its conversion to the model's rate and back."""
    dry, wet = recorded(bundles, plugin, rate)
    return dry, wet[0 if rate == own else round_trip(rate, own) :]


if __name__ == "__main__":
    compare(__doc__, RATES, in_jalv)
