"""The LV2 bundle in a real host: lv2apply, of Debian's lilv-utils."""

import os
import platform
import re
import shutil
import subprocess
import time
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.models import one_pole

from fxemu.audio.polyphase import round_trip
from fxemu.audio.tensors import decode, write_wav
from fxemu.emulation import Emulation
from fxemu.models import GRU
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import MuLaw, Raw
from fxemu.runtimes import ExportError, Model, export
from fxemu.runtimes.c.lv2 import BLOCK, Lv2, Plugin, uri

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler (cc)")
RATE = 44_100


def model() -> Model:
    torch.manual_seed(0)
    return Model(ClosedLoop(GRU(2, 1, width=6, memory_samples=50), MuLaw(), Raw()), RATE, 'My "amp"')


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lv2")
    assert "the LV2 plugin urn:fxemu:My%20%22amp%22: within" in export(model(), Lv2(), folder / "my.lv2")
    return folder


def library(factory, given: Model) -> Path:
    """The plugin's code, compiled once for all tests that play it in this process."""
    path = factory.getbasetemp() / f"played{given.oversample}.lv2"
    if not path.exists():
        Lv2().write(given, path)
    return path / f"{given.identifier}.so"


def host(bundles: Path, *command: str) -> subprocess.CompletedProcess:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed (apt-get install lilv-utils lv2-dev sordi)")
    environment = {**os.environ, "LV2_PATH": str(bundles)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("rate", [RATE, 48_000, 96_000])
def test_a_host_at_any_rate_plays_it_as_the_renderer(bundles, tmp_path, rate):
    dry = 0.4 * torch.randn(rate // 2, generator=torch.Generator().manual_seed(0)).clamp(-2, 2)
    write_wav(tmp_path / "dry.wav", dry, rate)
    done = host(bundles, "lv2apply", "-i", f"{tmp_path}/dry.wav", "-o", f"{tmp_path}/wet.wav", uri(model()))
    assert done.returncode == 0, done.stderr
    wet, written = decode(tmp_path / "wet.wav")
    assert written == rate and wet.std() > 1e-3
    late = round_trip(rate, RATE)
    expected = Emulation(model().loop, RATE)(dry, rate)
    assert (wet[late:] - expected[: rate // 2 - late]).abs().max() < 1e-4


@pytest.mark.parametrize("rate", [RATE, 48_000])
def test_silence_in_a_host_is_silent_from_the_first_sample(bundles, tmp_path, rate):
    write_wav(tmp_path / "dry.wav", torch.zeros(rate), rate)
    host(bundles, "lv2apply", "-i", f"{tmp_path}/dry.wav", "-o", f"{tmp_path}/wet.wav", uri(model()))
    wet = decode(tmp_path / "wet.wav")[0][2 * round_trip(rate, RATE) :]
    # An untrained model leaves a constant, to which a resampler comes with the samples before the first.
    assert (wet - wet[-1]).abs().max() < 1e-5


def test_a_host_reads_its_description(bundles):
    done = host(bundles, "lv2info", uri(model()))
    assert "My amp" in done.stdout and not done.stderr


def test_an_oversampled_one_says_how_late_it_is(tmp_path_factory):
    given = replace(model(), oversample=2)
    plugin = library(tmp_path_factory, given)
    done = host(plugin.parent.parent, "lv2info", uri(given))
    assert "Has latency:       yes, reported by port 2" in done.stdout
    assert "#define my_amp_LATENCY 64" in plugin.with_suffix(".c").read_text()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers that small are flushed on x86 alone")
def test_denormals_count_as_0(tmp_path):
    Lv2().write(Model(one_pole(0.5), RATE, "pole"), tmp_path / "x.lv2")
    plugin = tmp_path / "x.lv2" / "pole.so"
    tiny, small = (Plugin(plugin, RATE).play(np.full(100, x, np.float32)) for x in (1e-39, 1e-30))
    assert not tiny.any() and small.all()


def test_a_host_beyond_all_rates_is_told(bundles, tmp_path):
    write_wav(tmp_path / "dry.wav", torch.zeros(100), 8000)
    done = host(bundles, "lv2apply", "-i", f"{tmp_path}/dry.wav", "-o", f"{tmp_path}/wet.wav", uri(model()))
    assert done.returncode and "made for rates from 22050 to 192000 Hz, and the host runs at 8000 Hz" in done.stderr


def test_a_model_of_a_lower_rate_than_any_host_has_plays_at_its_own(tmp_path):
    assert "within" in export(Model(one_pole(0.5), 8000, "pole"), Lv2(), tmp_path / "x.lv2")


@pytest.mark.parametrize("oversample", [1, 2])
@pytest.mark.parametrize("rate", [22_050, RATE, 47_999, 192_000])
def test_latency_is_what_its_port_says(tmp_path_factory, rate, oversample):
    given, dry = replace(model(), oversample=oversample), torch.randn(3000).clamp(-1, 1)
    plugin = Plugin(library(tmp_path_factory, given), rate)
    wet = plugin.play(dry.numpy())
    late = int(plugin.ports["latency"][0])
    expected = Emulation(given.loop, RATE, oversample)(dry, rate).numpy()
    assert np.abs(wet[late:] - expected[: dry.numel() - late]).max() < 1e-5


def test_gains_are_in_db_and_bypass_is_dry_as_late_as_wet(tmp_path_factory):
    dry = torch.randn(8000, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    plugin = Plugin(library(tmp_path_factory, model()), 48_000)
    plugin.ports["input_gain"][0], plugin.ports["output_gain"][0] = 6, -12
    wet, late = plugin.play(dry.numpy()), round_trip(48_000, RATE)
    expected = 10 ** (-12 / 20) * Emulation(model().loop, RATE)(10 ** (6 / 20) * dry, 48_000).numpy()
    assert np.abs(wet[late:] - expected[: dry.numel() - late]).max() < 1e-5
    plugin.ports["enabled"][0] = 0
    bypassed = plugin.play(dry.numpy())
    # Without a step: it fades in some 10 ms.
    assert np.abs(bypassed[4000:] - dry.numpy()[4000 - late : -late]).max() < 1e-5
    assert np.abs(bypassed[:10] - dry.numpy()[:10]).max() > 1e-2


@pytest.mark.parametrize("rate", [RATE, 48_000])
def test_activated_again_it_starts_from_silence(tmp_path_factory, rate):
    dry = np.random.default_rng(0).uniform(-0.5, 0.5, 1000).astype(np.float32)
    plugin = Plugin(library(tmp_path_factory, model()), rate)
    first = plugin.play(dry)
    assert not np.array_equal(plugin.play(dry), first)
    plugin.activate()
    assert np.array_equal(plugin.play(dry), first)


@pytest.mark.parametrize("rate", [RATE, 48_000])
@pytest.mark.parametrize("port", ["dry", "input_gain", "output_gain", "enabled"])
def test_not_a_number_does_not_stay(tmp_path_factory, rate, port):
    plugin = Plugin(library(tmp_path_factory, model()), rate)
    before = plugin.ports[port].copy()
    dry = np.full(BLOCK, 0.1, np.float32)
    if port == "dry":
        plugin.play(np.full(BLOCK, np.nan, np.float32))
    else:
        plugin.ports[port][0] = np.nan
        plugin.play(dry)
        plugin.ports[port][:] = before
    assert np.isfinite(plugin.play(np.tile(dry, 100))).all()


def test_its_description_is_valid(bundles):
    files = [str(path) for path in (bundles / "my.lv2").glob("*.ttl")]
    done = host(bundles, "lv2_validate", *files)
    assert "Found 0 errors" in done.stdout + done.stderr


NAMES = [
    "Amp A",
    "amp-a",
    "Amp A!",
    "音箱",
    "音響",
    "Überamp",
    "Uberamp",
    "x" * 300,
    "x" * 299,
    'a">b',
    "5150",
    "caf\udce9",
]


def test_names_give_identities_of_their_own():
    models = [replace(model(), name=name) for name in NAMES]
    uris = [uri(each) for each in models]
    assert len(set(uris)) == len(NAMES) and all(re.fullmatch(r"urn:fxemu:[\w.~%-]+", each, re.ASCII) for each in uris)
    names = [each.identifier for each in models]
    assert all(re.fullmatch(r"[a-z]\w{0,70}", name, re.ASCII) for name in names)
    # Only names that differ in capitals and signs give the same identifier of C.
    assert len(set(names)) == len(NAMES) - 2 and names[:3] == ["amp_a"] * 3
    apart = replace(model(), name=unicodedata.normalize("NFD", "Überamp"))
    assert (uri(apart), apart.identifier) == (uris[5], names[5])


def test_a_name_in_any_script_is_exported(tmp_path):
    export(replace(model(), name='音箱 "1"'), Lv2(), tmp_path / "x.lv2")
    (description,) = (path for path in (tmp_path / "x.lv2").glob("*.ttl") if path.stem != "manifest")
    assert 'doap:name "音箱 1"' in description.read_text(encoding="utf-8")


def test_without_a_compiler_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ExportError, match="lv2 needs a C compiler"):
        export(model(), Lv2(), tmp_path / "x.lv2")
    assert not list(tmp_path.iterdir())


def test_it_loads_in_jalv_under_a_jack_server(bundles):
    if shutil.which("jalv") is None or shutil.which("jackd") is None:
        pytest.skip("jalv or jackd is not installed (apt-get install jalv jackd2)")
    environment = {"JACK_DEFAULT_SERVER": f"fxemu{os.getpid()}", "JACK_NO_START_SERVER": "1", "LV2_PATH": str(bundles)}
    given = {"env": {**os.environ, **environment}, "stdin": subprocess.DEVNULL, "text": True}
    words = ["jackd", "--no-realtime", "-n", environment["JACK_DEFAULT_SERVER"], "-d", "dummy", "-r", "48000"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            # Until the server serves.
            for _ in range(50):
                done = subprocess.run(["jalv", "-p", uri(model())], capture_output=True, timeout=20, **given)
                if done.returncode == 0 or server.poll() is not None:
                    break
                time.sleep(0.1)
            stopped = server.poll() is not None
        finally:
            server.terminate()
    if stopped:
        pytest.skip("the JACK server does not start here")
    assert "Sample rate:  48000 Hz" in done.stdout and "enabled = 1.0" in done.stdout and done.returncode == 0
