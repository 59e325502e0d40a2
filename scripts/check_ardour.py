"""Plays a finished run's plugin in Ardour, which exports a song without a screen, and compares with `fxemu render`.

Needs cc and ardour (7). At each rate a session is made with the plugin on a track, whose only region is a test signal.

    python scripts/check_ardour.py RUN
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import torch
from scipy.io import wavfile
from torch import Tensor

from check_jack import compare

RATES, SECONDS = (44_100, 48_000, 96_000), 3
# Ardour's unit of time.
SUPERCLOCK_HZ = 282_240_000
SESSION = """
AudioEngine:set_backend("None (Dummy)", "", "")
AudioEngine:set_sample_rate({rate})
local s = create_session("{folder}", "song", {rate})
for track in s:new_audio_track(1, 1, nil, 1, "amp", -1, ARDOUR.TrackMode.Normal, true):iter() do
  local plugin = ARDOUR.LuaAPI.new_plugin(s, "{plugin}", ARDOUR.PluginType.LV2, "")
  assert(not plugin:isnil() and track:add_processor_by_index(plugin, 0, nil, true) == 0)
  track:output():audio(0):connect("Master/audio_in 1")
end
s:save_state("")
close_session()
quit()
"""
SOURCE = '<Source name="dry.wav" type="audio" flags="" id="1000" channel="0" origin="" gain="1"/>'
REGION = (
    '<Region id="1001" name="dry" type="audio" start="a0" length="a{0}@a0" fade-in-active="0" fade-out-active="0"'
    ' scale-amplitude="1" channels="1" source-0="1000" master-source-0="1000"/>'
)
RANGE = '<Location id="1002" name="session" start="a0" end="a{0}" flags="IsSessionRange"/>'


def played(bundles: Path, plugin: str, dry: Tensor, rate: int) -> Tensor:
    """What Ardour exports of dry (samples,) through a plugin: wet (samples,), its latency taken out by Ardour."""
    folder, wet, script = bundles / str(rate) / "song", bundles / f"{rate}.wav", bundles / "session.lua"
    environment = {**os.environ, "HOME": str(bundles), "LV2_PATH": str(bundles)}
    folder.parent.mkdir()
    script.write_text(SESSION.format(rate=rate, folder=folder, plugin=plugin))
    subprocess.run(["ardour7-lua", script], env=environment, capture_output=True, timeout=120)
    wavfile.write(folder / "interchange" / "song" / "audiofiles" / "dry.wav", rate, dry.numpy())
    state, length = folder / "song.ardour", dry.numel() * (SUPERCLOCK_HZ // rate)
    text = state.read_text().replace("<Sources/>", f"<Sources>{SOURCE}</Sources>")
    text = text.replace("<Locations/>", f"<Locations>{RANGE.format(length)}</Locations>")
    state.write_text(re.sub(r'(<Playlist [^>]*name="amp"[^>]*)/>', rf"\1>{REGION.format(length)}</Playlist>", text))
    export = "ardour7-export", "-b", "float", "-o", wet, folder, "song"
    subprocess.run(export, env=environment, check=True, capture_output=True, timeout=120)
    return torch.from_numpy(wavfile.read(wet)[1][:, 0].copy())


def in_ardour(bundles: Path, plugin: str, rate: int, own: int) -> tuple[Tensor, Tensor]:
    """Dry (samples,), decaying notes with noise, and wet as Ardour exports it."""
    t = torch.arange(SECONDS * rate) / rate
    noise = torch.randn(t.numel(), generator=torch.Generator().manual_seed(0))
    dry = 0.5 * torch.sin(2 * torch.pi * 220 * t) * torch.exp(-10 * (t % 0.25)) + 0.01 * noise
    return dry, played(bundles, plugin, dry, rate)


if __name__ == "__main__":
    compare(__doc__, RATES, in_ardour)
