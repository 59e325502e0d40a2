"""`effect=plugin` against a stand-in for pedalboard, and with pedalboard and a real VST3 where they can be had."""

import importlib.util
import os
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir

from fxemu.effects import EffectError, Plugin
from fxemu.effects.plugin_host import processed
from fxemu.training.run_folder import CONF

STAND_IN = '''
"""A gain with pedalboard's face: mono only in files named mono, crashing in files named crash."""
import os
from types import SimpleNamespace
import numpy as np

class Gain:
    parameters = {
        "gain_db": SimpleNamespace(range=(-20.0, 20.0, 0.1), valid_values=[-20.0, 20.0]),
        "mode": SimpleNamespace(range=(0, 1, 1), valid_values=["warm", "cold"]),
    }
    gain_db, mode, runs = 0.0, "warm", 0

    def __init__(self, path): self.path = os.path.basename(path)

    def __call__(self, audio, sample_rate, reset):
        assert reset and sample_rate == 8000.0
        if "late" in self.path: os.abort()
        if "stereo" in self.path and len(audio) == 1: raise ValueError("stereo only")
        return audio * 10 ** (self.gain_db / 20) * (1 if self.mode == "warm" else -1)

def load_plugin(path, plugin_name):
    if "crash" in os.path.basename(path): os.abort()
    if "empty" in os.path.basename(path): raise ImportError("no plugin in it")
    return Gain(path)
'''
DRY = torch.linspace(-1, 1, 100)
DPF = Path("/usr/share/dpf/distrho")
needs_pedalboard = pytest.mark.skipif(importlib.util.find_spec("pedalboard") is None, reason="needs fxemu[plugin]")


@pytest.fixture
def vst(tmp_path, monkeypatch):
    """Makes files that the stand-in takes for plugins."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "pedalboard.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(tmp_path / "modules")

    def make(name: str, content: bytes = b"") -> str:
        (tmp_path / name).write_bytes(content)
        return str(tmp_path / name)

    return make


@pytest.mark.parametrize("name", ["mono.vst3", "stereo.vst3"])
def test_parameters_are_set_by_name(vst, name):
    assert torch.allclose(Plugin(vst(name), {"gain_db": -20, "mode": "cold"})(DRY, 8000), -DRY / 10)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("crash.vst3", {}, "plugin crash.vst3: crashed .SIGABRT"),
        ("empty.vst3", {}, "plugin empty.vst3: failed .* no plugin in it"),
        ("a.vst3", {"drive": 1}, "has none named 'drive'; it has: gain_db, mode"),
        ("a.vst3", {"gain_db": 21}, "gain_db: got 21; must be from -20 to 20"),
        ("a.vst3", {"gain_db": "loud"}, "gain_db: got 'loud'; must be a number"),
        ("a.vst3", {"mode": "hot"}, "mode: got 'hot'; choose one of warm, cold"),
    ],
)
def test_an_unusable_plugin_is_refused_at_construction(vst, name, parameters, message):
    with pytest.raises(ValueError, match=message):
        Plugin(vst(name), parameters)


def test_a_crash_while_it_runs_is_an_error(vst):
    effect = Plugin(vst("late.vst3"))
    with pytest.raises(EffectError, match=r"crashed .SIGABRT"):
        effect(DRY, 8000)


ELF = b"\x7fELF"
PE = b"MZ" + bytes(62) + b"PE\0\0" + struct.pack("<H", 0x14C)


@pytest.mark.parametrize("header", [ELF + b"\x01", PE])
def test_a_32_bit_plugin_is_refused(vst, header):
    with pytest.raises(ValueError, match=r"is a 32-bit plugin; .* get its 64-bit version"):
        Plugin(vst("old.vst3", header + bytes(100)))


def test_a_32_bit_bundle_is_refused(vst, tmp_path):
    program = tmp_path / "old.vst3" / "Contents" / "i386-linux" / "old.so"
    program.parent.mkdir(parents=True)
    program.write_bytes(ELF + b"\x01" + bytes(100))
    with pytest.raises(ValueError, match=r"is a 32-bit plugin"):
        Plugin(str(tmp_path / "old.vst3"))


def test_a_64_bit_plugin_is_not(vst):
    assert Plugin(vst("new.vst3", ELF + b"\x02" + bytes(100))).identity()


@pytest.mark.parametrize("path", [None, "nowhere.vst3"])
def test_a_missing_plugin_is_refused(path):
    with pytest.raises(ValueError, match=r"must be a .vst3 or .component that exists"):
        Plugin(path)


def test_parameters_are_set_on_the_command_line():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", ["effect=plugin", "effect.parameters={gain_db: 20, mode: very cold}"])
    assert config.effect.parameters == {"gain_db": 20, "mode": "very cold"}


def test_identity_depends_on_parameters_and_file(vst):
    path = vst("a.vst3")
    before = Plugin(path, {"gain_db": 1}).identity()
    assert before == Plugin(path, {"gain_db": 1}).identity() != Plugin(path, {"gain_db": 2}).identity()
    os.utime(path, (1, 1))
    assert Plugin(path, {"gain_db": 1}).identity() != before


@needs_pedalboard
def test_pedalboard_is_reset_between_songs():
    from pedalboard import Delay

    delay = Delay(delay_seconds=0.001, feedback=0.5, mix=0.5)
    dry = np.zeros(1000, np.float32)
    dry[0] = 1
    first = processed(delay, dry, 8000)
    assert first[0] == pytest.approx(0.5) and first[8] == pytest.approx(0.5)
    assert np.array_equal(processed(delay, dry, 8000), first)


@needs_pedalboard
def test_pedalboard_refuses_what_is_no_plugin(tmp_path):
    (tmp_path / "fake.vst3").write_text("no plugin")
    with pytest.raises(EffectError, match=r"plugin fake.vst3: failed"):
        Plugin(str(tmp_path / "fake.vst3"))


@pytest.fixture(scope="module")
def late_gain(tmp_path_factory) -> str:
    """A real VST3, compiled from tests/vst3."""
    if not shutil.which("g++") or not DPF.is_dir():
        pytest.skip("a VST3 cannot be built (Debian: apt-get install g++ dpf-source)")
    source, bundle = Path(__file__).parent.parent / "vst3", tmp_path_factory.mktemp("vst3") / "late.vst3"
    program = bundle / "Contents" / f"{os.uname().machine}-linux" / "late.so"
    program.parent.mkdir(parents=True)
    flags = ["-std=c++17", "-shared", "-fPIC", "-DDISTRHO_PLUGIN_TARGET_VST3", f"-I{source}", f"-I{DPF}"]
    subprocess.run(["g++", *flags, source / "plugin.cpp", DPF / "DistrhoPluginMain.cpp", "-o", program], check=True)
    return str(bundle)


@needs_pedalboard
@pytest.mark.parametrize("sample_rate", [8000, 44_100])
def test_a_vst3_obeys_its_parameters_without_latency_or_memory_of_the_last_song(late_gain, sample_rate):
    dry = torch.zeros(20_000)
    dry[[5, 19_950]] = 0.5
    effect = Plugin(late_gain, {"gain_db": -20, "mode": "cold"})
    wet = effect(dry, sample_rate)
    # Each click raises the plugin's offset by 1e-4 of it, 100 samples before the click comes out.
    assert torch.allclose(wet[[0, 5, 6, 19_950]], torch.tensor([5e-5, 5e-5 - 0.05, 5e-5, 1e-4 - 0.05]), atol=1e-7)
    assert torch.equal(effect(dry, sample_rate), wet)


@needs_pedalboard
@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"drive": 1}, "the plugin has none named 'drive'; it has: crash, gain_db, .*mode$"),
        ({"gain_db": 21}, "gain_db: got 21; must be from -20 to 20$"),
        ({"mode": "hot"}, "mode: got 'hot'; choose one of warm, cold$"),
        ({"crash": 1}, "plugin late.vst3: crashed .SIGABRT"),
    ],
)
def test_a_vst3_with_a_wrong_parameter_or_a_crash_is_an_error(late_gain, parameters, message):
    with pytest.raises(ValueError, match=message):
        Plugin(late_gain, parameters)(DRY, 8000)
