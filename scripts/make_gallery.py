"""Draw docs/gallery.png, one small picture of each effect, and print a table of them.

Run `python scripts/make_gallery.py`. Options of conf/effect that need something of the user are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from hydra.utils import instantiate
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from omegaconf import OmegaConf
from torch import Tensor

from fxemu.effects import Effect

ROOT = Path(__file__).resolve().parent.parent
RATE = 44_100
COLUMNS = 6


def transfer(effect: Effect, axes: Axes) -> None:
    """Wet against dry for a 200 Hz sine that grows: a line has no memory, a loop has some."""
    t = torch.arange(RATE // 4) / RATE
    dry = torch.sin(2 * math.pi * 200 * t) * t / t[-1]
    axes.plot(dry, effect(dry, RATE), linewidth=0.4)
    axes.set(title="wet against dry", xticks=[-1, 0, 1])


def response(effect: Effect, axes: Axes) -> None:
    """Gain in dB over frequency, from the impulse response."""
    impulse = torch.zeros(RATE)
    impulse[0] = 1.0
    level_db = 20 * torch.fft.rfft(effect(impulse, RATE)).abs().clamp_min(1e-5).log10()
    axes.semilogx(range(20, 20_000), level_db[20:20_000], linewidth=0.8)
    axes.set(title="dB over Hz", ylim=(-40, 25), xlim=(20, 20_000))


def level(effect: Effect, axes: Axes) -> None:
    """Level in dB of wet (blue) and dry (grey): a tone of 1 kHz that jumps to 0 dB, then falls by 80 dB in a second."""
    t = torch.arange(RATE) / RATE
    dry = torch.sin(2 * math.pi * 1000 * t) * 10 ** (-80 * t / 20)
    for signal, style in ((dry, {"color": "0.6"}), (effect(dry, RATE), {})):
        axes.plot(*peaks_db(signal), linewidth=0.9, **style)
    axes.set(title="a falling tone in dB, 1 s", ylim=(-120, 3))


def echoes(effect: Effect, axes: Axes) -> None:
    """Level in dB of the response to a click."""
    click = torch.zeros(2 * RATE)
    click[0] = 1.0
    axes.plot(*peaks_db(effect(click, RATE)), linewidth=0.6)
    axes.set(title="a click in dB, 2 s", ylim=(-80, 3))


def peaks_db(signal: Tensor) -> tuple[Tensor, Tensor]:
    """Times in s, and the peaks in dB of each millisecond."""
    level_db = 20 * torch.nn.functional.max_pool1d(signal.abs()[None], 44)[0].clamp_min(1e-6).log10()
    return torch.arange(level_db.numel()) * 44 / RATE, level_db


def waveform(effect: Effect, axes: Axes) -> None:
    """Wet (blue) over dry (grey): 10 ms of a sine of 220 Hz."""
    t = torch.arange(RATE // 100) / RATE
    dry = 0.9 * torch.sin(2 * math.pi * 220 * t)
    axes.plot(1000 * t, dry, color="0.6", linewidth=0.9)
    axes.plot(1000 * t, effect(dry, RATE), linewidth=0.9)
    axes.set(title="wet over dry, 10 ms", ylim=(-1.2, 1.2))


def loudness(effect: Effect, axes: Axes) -> None:
    """A sine of 220 Hz for a second."""
    dry = torch.sin(2 * math.pi * 220 * torch.arange(RATE) / RATE)
    axes.plot(torch.arange(RATE) / RATE, effect(dry, RATE), linewidth=0.4)
    axes.set(title="a steady tone, 1 s", ylim=(-1.2, 1.2))


def sweep(effect: Effect, axes: Axes) -> None:
    """What becomes of white noise, 0 to 5 kHz."""
    spectrogram(effect(noise(), RATE), axes, (0, 5000))
    axes.set(title="noise, kHz over 2 s")


def plucks(effect: Effect, axes: Axes) -> None:
    """What becomes of noise that is struck every half second, 0 to 5 kHz."""
    spectrogram(effect(noise() * torch.exp(-8 * (torch.arange(2 * RATE) / RATE % 0.5)), RATE), axes, (0, 5000))
    axes.set(title="struck noise, kHz over 2 s")


def pitch(effect: Effect, axes: Axes) -> None:
    """What becomes of a sine of 8 kHz, 7.7 to 8.3 kHz."""
    dry = torch.sin(2 * math.pi * 8000 * torch.arange(2 * RATE, dtype=torch.float64) / RATE).float()
    spectrogram(effect(dry, RATE), axes, (7700, 8300))
    axes.set(title="a tone, kHz over 2 s")


def noise() -> Tensor:
    return torch.rand(2 * RATE, generator=torch.Generator().manual_seed(0)) - 0.5


def spectrogram(wet: Tensor, axes: Axes, band_hz: tuple[int, int]) -> None:
    """Magnitudes of two seconds on a scale of 40 dB."""
    window = torch.hann_window(2048)
    spectrum = torch.stft(wet, 8192, 256, 2048, window=window, return_complex=True).abs()
    low, high = (hz * 8192 // RATE for hz in band_hz)
    level_db = 20 * spectrum[low:high].clamp_min(1e-4).log10()
    extent = (0, 2, band_hz[0] / 1000, band_hz[1] / 1000)
    axes.imshow(level_db, origin="lower", aspect="auto", vmin=level_db.max() - 40, extent=extent)


VIEWS: dict[Callable[[Effect, Axes], None], tuple[str, ...]] = {
    transfer: (
        "bitcrusher",
        "distortion",
        "fuzz",
        "hysteresis",
        "overdrive",
        "passthrough",
        "tanh",
        "tube",
        "wavefolder",
    ),
    response: ("bandpass", "convolution", "highpass", "lowpass", "parametric_eq", "resonant_lowpass"),
    level: ("compressor", "expander", "feedback_compressor", "gate", "limiter"),
    echoes: ("chain", "delay", "plate_reverb", "room_reverb", "slapback", "spring_reverb"),
    waveform: ("parallel", "ringmod"),
    loudness: ("tremolo",),
    sweep: ("flanger", "phaser", "wah"),
    plucks: ("autowah",),
    pitch: ("chorus", "vibrato"),
}


def gallery() -> None:
    """Draw every view of every effect, and print what each effect is."""
    names = sorted(name for options in VIEWS.values() for name in options)
    view_of = {name: view for view, options in VIEWS.items() for name in options}
    rows = math.ceil(len(names) / COLUMNS)
    figure = Figure(figsize=(2.2 * COLUMNS, 1.9 * rows), layout="constrained")
    cells = figure.subplots(rows, COLUMNS).flat
    print("| `effect=` | what it is | its knobs |")
    print("|---|---|---|")
    for name, axes in zip(names, cells, strict=False):
        path = ROOT / "conf" / "effect" / f"{name}.yaml"
        config = OmegaConf.load(path)
        view_of[name](instantiate(config), axes)
        axes.set_title(f"{name}\n{axes.get_title()}", fontsize=8)
        axes.tick_params(labelsize=6)
        knobs = ", ".join(f"`{key}`" for key in config if key != "_target_")
        print(f"| `{name}` | {path.read_text().splitlines()[0].strip('# .')} | {knobs} |")
    for axes in list(cells):
        axes.axis("off")
    figure.savefig(ROOT / "docs" / "gallery.png", dpi=90)


if __name__ == "__main__":
    gallery()
