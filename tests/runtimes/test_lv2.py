"""The LV2 bundle in a real host: lv2apply, of Debian's lilv-utils."""

import os
import platform
import re
import shutil
import subprocess
import unicodedata
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.models import one_pole

from fxemu.audio.tensors import decode, write_wav
from fxemu.engine.streaming.stream import render
from fxemu.models import GRU
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import MuLaw, Raw
from fxemu.runtimes import ExportError, Model, export
from fxemu.runtimes.lv2 import Lv2, play, uri

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


def host(bundles, *command: str) -> subprocess.CompletedProcess:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed (apt-get install lilv-utils)")
    environment = {**os.environ, "LV2_PATH": str(bundles)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def test_a_host_plays_it_as_the_renderer(bundles, tmp_path):
    dry = 0.4 * torch.randn(RATE, generator=torch.Generator().manual_seed(0)).clamp(-2, 2)
    write_wav(tmp_path / "dry.wav", dry, RATE)
    done = host(bundles, "lv2apply", "-i", f"{tmp_path}/dry.wav", "-o", f"{tmp_path}/wet.wav", uri(model()))
    assert done.returncode == 0, done.stderr
    wet, rate = decode(tmp_path / "wet.wav")
    assert rate == RATE and wet.std() > 1e-3
    assert (wet - render(model().loop, dry)).abs().max() < 1e-4


def test_a_host_reads_its_description(bundles):
    done = host(bundles, "lv2info", uri(model()))
    assert "My amp" in done.stdout and not done.stderr


def test_an_oversampled_one_says_how_late_it_is(tmp_path):
    given = replace(model(), oversample=2)
    export(given, Lv2(), tmp_path / "my.lv2")
    done = host(tmp_path, "lv2info", uri(given))
    assert "Has latency:       yes, reported by port 2" in done.stdout
    assert "#define my_amp_LATENCY 64" in (tmp_path / "my.lv2" / "my_amp.c").read_text()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers that small are flushed on x86 alone")
def test_denormals_count_as_0(tmp_path):
    Lv2().write(Model(one_pole(0.5), RATE, "pole"), tmp_path / "x.lv2")
    tiny, small = (play(tmp_path / "x.lv2" / "pole.so", np.full(100, x, np.float32), RATE) for x in (1e-39, 1e-30))
    assert not tiny.any() and small.all()


def test_a_host_at_another_rate_is_told(bundles, tmp_path):
    write_wav(tmp_path / "dry.wav", torch.zeros(100), 48_000)
    done = host(bundles, "lv2apply", "-i", f"{tmp_path}/dry.wav", "-o", f"{tmp_path}/wet.wav", uri(model()))
    assert done.returncode and "made for 44100 Hz, and the host runs at 48000 Hz" in done.stderr


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
